"""dense-s round a session: what `dense_input` makes of people in; a place on the surface for every pixel out."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bodystream.models.dense_layout import CELLS, CHANNELS, GRID

# float32 (N, 48, 64, 64) in; part, uv and confidence out, see `export.wrap_dense`
Session = Callable[[NDArray[np.float32]], Sequence[NDArray[Any]]]


class Correspondences(NamedTuple):
    """What the network saw of N people, in their grids.

    `part`: uint8 (N, 128, 128), the best of 1..24, outside the person too. `uv`: float32 (N, 2, 128, 128), 0..1.
    `confidence`: uint8 (N, 128, 128), 0..255 for 0..1, that the pixel is the person's and shows that part.
    """

    part: NDArray[np.uint8]
    uv: NDArray[np.float32]
    confidence: NDArray[np.uint8]


class CorrespondenceNet:
    """Corrects the baselines of all people in one batch."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __call__(self, inputs: NDArray[np.float32]) -> Correspondences:
        """Inputs are float32 (N, 48, 64, 64), see `dense_layout`; nobody costs nothing. Raises ValueError."""
        if inputs.shape[1:] != (CHANNELS, CELLS, CELLS):
            raise ValueError(f"inputs are {inputs.shape}, expected (N, {CHANNELS}, {CELLS}, {CELLS})")
        if not len(inputs):
            grid = (0, GRID, GRID)
            empty = np.empty(grid, np.uint8)
            return Correspondences(empty, np.empty((0, 2, GRID, GRID), np.float32), empty)
        return Correspondences(*self._session(inputs))
