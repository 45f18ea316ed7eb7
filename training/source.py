"""Where samples come from: any endless source that follows from a seed, here cut so that it can be gone on with."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

# inputs float32 (N, 48, 64, 64), see `models.dense_layout`; part uint8 (N, 128, 128), 0 for nobody, 1..24, 255
# unknown; uv float32 (N, 2, 128, 128), of which only pixels with a part count.
Batch = tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]

# A source is started anew, with another seed, after so many batches: a run that goes on has no more than that to
# make again and throw away before it stands where it was left.
SEGMENT = 128


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


def loaded(source: Source, seed: int, size: int, start: int, workers: int) -> Iterator[tuple[Tensor, ...]]:
    """The same from `workers` processes in turn, as tensors ready to be copied to a GPU."""
    loader: DataLoader[Any] = DataLoader(
        _InTurn(source, seed, size, start, workers),
        batch_size=None,
        num_workers=workers,
        multiprocessing_context="spawn",
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=4,
    )
    return iter(loader)


class _InTurn(IterableDataset[Batch]):
    """Batch number i of the whole is made by worker i mod W, as its number i div W."""

    def __init__(self, source: Source, seed: int, size: int, start: int, workers: int) -> None:
        self._source, self._seed, self._size, self._start, self._workers = source, seed, size, start, workers

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        assert info is not None
        # The loader asks worker 0 first, whatever the number it goes on from.
        number = self._start + info.id
        rank, own = number % self._workers, number // self._workers
        return stream(self._source, self._seed, rank, self._size, own)
