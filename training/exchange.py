"""Sums over the processes of one training run, through shared memory: each adds up all rows in the same order.

Every process then takes the same step, to the last digit, and none has to be sent the weights.
"""

from threading import BrokenBarrierError
from typing import Any

import torch
from torch import Tensor

from bodystream.errors import TrainingFailed

PATIENCE_S = 600.0  # for the slowest process, which may be making samples of a segment again


class Exchange:
    """For `processes` of a multiprocessing `context`; at most `numbers` at a time."""

    def __init__(self, processes: int, numbers: int, context: Any) -> None:
        self._rows = torch.zeros(processes, numbers).share_memory_()  # type: ignore[no-untyped-call]
        self._barrier = context.Barrier(processes)

    def sum(self, rank: int, numbers: Tensor) -> Tensor:
        """The sum over all processes of float32 (K,), on the CPU. Raises TrainingFailed where one is missing."""
        if len(self._rows) == 1:
            return numbers
        self._rows[rank, : len(numbers)] = numbers
        self._wait()
        total = self._rows[:, : len(numbers)].sum(0)
        self._wait()  # nobody writes before all have read
        return total

    def leave(self) -> None:
        """Let the others know that this process takes no further part."""
        self._barrier.abort()

    def _wait(self) -> None:
        try:
            self._barrier.wait(PATIENCE_S)
        except BrokenBarrierError as error:
            raise TrainingFailed("another process of the training ended; go on with --resume") from error
