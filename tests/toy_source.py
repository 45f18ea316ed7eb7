"""A source of easy training samples: the baseline takes part 1 for part 4, and is a tenth off in U, V."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bodystream.models.dense_layout import CELLS, CHANNELS, GRID, MASK, PART, XYZ, U, V
from bodystream.training.task import Batch


@dataclass(frozen=True)
class ToySource:
    """`fault`: what is wrong with it: "" nothing, "nan" numbers that are none, "raise" it breaks."""

    fault: str = ""

    def batches(self, seed: int, rank: int, size: int) -> Iterator[Batch]:
        rng = np.random.default_rng([seed, rank])
        while True:
            if self.fault == "raise":
                raise ValueError("a fault of the source")
            inputs = np.zeros((size, CHANNELS, CELLS, CELLS), np.float32)
            own = rng.integers(1, 5, (size, 4, 4)).repeat(16, 1).repeat(16, 2)  # (N, 64, 64)
            inputs[:, PART] = own[:, None]
            inputs[:, XYZ] = (np.eye(4)[own - 1][..., :3]).transpose(0, 3, 1, 2)
            inputs[:, U], inputs[:, V] = 0.3, 0.6
            inputs[:, MASK, 8:-8, 8:-8] = 1
            part = np.zeros((size, GRID, GRID), np.uint8)
            inside = slice(16, -16)
            part[:, inside, inside] = np.where(own == 4, 1, own).repeat(2, 1).repeat(2, 2)[:, inside, inside]
            uv = np.empty((size, 2, GRID, GRID), np.float32)
            uv[:, 0], uv[:, 1] = (np.nan if self.fault == "nan" else 0.4), 0.7
            yield inputs, part, uv
