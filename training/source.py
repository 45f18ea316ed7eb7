"""Where samples come from: any endless source that follows from a seed, here cut so that it can be gone on with."""

from collections.abc import Generator, Iterator
from itertools import count, islice
from queue import Empty
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.multiprocessing import get_context

from bodystream.errors import TrainingFailed
from bodystream.training.processes import end_with_parent, start_deaf
from bodystream.training.task import Batch

# A source is started anew, with another seed, after so many batches: a run that goes on has no more than that to
# make again and throw away before it stands where it was left.
SEGMENT = 128

AHEAD = 4  # batches that a process makes before they are asked for
POLL_S = 1.0  # how soon it is noticed that one was killed


class Source(Protocol):
    """Makes samples; can be sent to another process."""

    def batches(self, seed: int, rank: int, size: int) -> Iterator[Batch]:
        """Yield batches of `size` without end: the same ones for the same seed and rank, others for others."""


def stream(source: Source, seed: int, rank: int, size: int, start: int = 0) -> Iterator[Batch]:
    """Yield the batches of one process from number `start` on."""
    segment, skipped = divmod(start, SEGMENT)
    while True:
        yield from islice(source.batches(seed_of(seed, segment), rank, size), skipped, SEGMENT)
        segment, skipped = segment + 1, 0


def seed_of(*numbers: int) -> int:
    """One seed out of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def loaded(
    source: Source, seed: int, size: int, start: int, workers: int
) -> Generator[tuple[Tensor, ...], None, None]:
    """The same as tensors, from `workers` processes in turn; they end when the generator is closed.

    Batch number i of the whole is worker i mod W's number i div W. Raises TrainingFailed where one fails.
    """
    context: Any = get_context("spawn")
    queues = [context.Queue(AHEAD) for _ in range(workers)]
    makers = []
    for rank, queue in enumerate(queues):
        own = (start - rank + workers - 1) // workers  # the first of its numbers that is not done yet
        given = (source, seed, rank, size, own, queue)
        makers.append(context.Process(target=_make, args=given, daemon=True))
    start_deaf(makers)
    try:
        for number in count(start):
            rank = number % workers
            yield _next(queues[rank], makers[rank])
    finally:
        for maker in makers:
            maker.terminate()
            maker.join()


def _make(source: Source, seed: int, rank: int, size: int, start: int, queue: Any) -> None:
    end_with_parent()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        for batch in stream(source, seed, rank, size, start):
            queue.put(tuple(map(torch.from_numpy, batch)))  # torch sends where in shared memory it lies
    except Exception as error:  # noqa: BLE001 - the process that learns tells, whatever it is
        queue.put(f"{type(error).__name__}: {error}")


def _next(queue: Any, maker: Any) -> tuple[Tensor, ...]:
    while True:
        try:
            found = queue.get(timeout=POLL_S)
        except Empty:
            if not maker.is_alive():
                raise TrainingFailed("a process that makes samples was killed; go on with --resume") from None
            continue
        if isinstance(found, str):
            raise TrainingFailed(f"a process that makes samples failed: {found}")
        batch: tuple[Tensor, ...] = found
        return batch
