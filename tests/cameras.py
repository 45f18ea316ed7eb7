"""A camera and a clock for tests: time passes only while the camera waits for its next picture."""

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.footage import numbered


class Clock:
    """A monotonic clock that stands still until `ns` is moved."""

    def __init__(self) -> None:
        self.ns = 1_000_000_000

    def __call__(self) -> int:
        return self.ns


class Camera:
    """Does what cv2.VideoCapture does, with `numbered` pictures; one every `period_ns` of the clock.

    `script` says of each grab whether it succeeds; it is unplugged behind its end. A picture's number counts
    the grabs that succeeded after the first `warm_up`.
    """

    def __init__(
        self,
        clock: Clock,
        script: list[bool],
        *,
        size: tuple[int, int] = (64, 48),
        period_ns: int = 40_000_000,
        fourcc: str = "YUYV",
        present: bool = True,
        warm_up: int = 12,
    ) -> None:
        self.released = 0
        self.asked: list[tuple[int, float]] = []
        self._clock = clock
        self._script = iter(script)
        self._size = size
        self._period_ns = period_ns
        self._fourcc = fourcc
        self._present = present
        self._number = -warm_up - 1

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return self._present

    def set(self, prop: int, value: float, /) -> bool:
        self.asked.append((prop, value))
        return True

    def get(self, prop: int, /) -> float:
        return float(cv2.VideoWriter.fourcc(*self._fourcc)) if prop == cv2.CAP_PROP_FOURCC else 0.0

    def grab(self) -> bool:
        self._clock.ns += self._period_ns
        worked = next(self._script, False)
        self._number += worked
        return worked

    def retrieve(self) -> tuple[bool, NDArray[np.uint8]]:
        return True, numbered(max(self._number, 0), self._size)

    def release(self) -> None:
        self.released += 1
