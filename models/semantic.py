"""A semantic person mask round a session: FCN or DeepLab's probability of `person` for the whole picture."""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# uint8 (1, H, W, 3) BGR in; the person's probability uint8 (1, H, W), 0..255 for 0..1, out
Session = Callable[[NDArray[np.uint8]], Sequence[NDArray[Any]]]


class SemanticNet:
    """Looks at whole pictures, scaled into a canvas of the `size` (width, height) that the file was made for."""

    def __init__(self, session: Session, size: tuple[int, int]) -> None:
        self._session, self._size = session, size

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Where persons are in `image`, uint8 (H, W, 3) BGR: probability uint8 (h, w), 0..255, and its map to there.

        The map, float64 (2, 3), takes continuous px (x, y, 1) of the probability to those of the image, which it
        covers.
        """
        height, width = image.shape[:2]
        scale = min(self._size[0] / width, self._size[1] / height)
        w, h = (max(1, round(side * scale)) for side in (width, height))
        canvas = np.zeros((1, self._size[1], self._size[0], 3), np.uint8)
        smaller = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
        canvas[0, :h, :w] = cv2.resize(image, (w, h), interpolation=smaller)
        (probability,) = self._session(canvas)
        to_image = np.array([[width / w, 0, 0], [0, height / h, 0]])
        return probability[0, :h, :w], to_image
