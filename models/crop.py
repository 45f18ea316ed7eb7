"""The square, rotated window through which a network looks at one person."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Crop:
    """A square region of the image: centre and side in px, turned by `angle` radians.

    `angle` is that from the image's up to the person's up, clockwise positive: 0 for an upright
    person, π for one upside down.
    """

    x: float
    y: float
    size: float
    angle: float = 0.0


def crop_to_image(crop: Crop, pixels: int) -> NDArray[np.float64]:
    """Affine map from continuous pixels of the `pixels` × `pixels` crop to those of the image: (2, 3)."""
    scale = crop.size / pixels
    cos, sin = scale * np.cos(crop.angle), scale * np.sin(crop.angle)
    half = pixels / 2
    return np.array(
        [
            [cos, -sin, crop.x - cos * half + sin * half],
            [sin, cos, crop.y - sin * half - cos * half],
        ]
    )
