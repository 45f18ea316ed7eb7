"""The square, rotated window through which a network looks at one person."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

# Of 1.0 to 1.8, on 110 photographs and their true boxes: the highest OKS after the second look with full, and
# the landmark net knows 98 % of the people; with 1.25 it knows 92 %.
BOX_MARGIN = 1.5
LANDMARK_MARGIN = (
    1.25  # MediaPipe, pose_landmarks_to_roi.pbtxt: a quarter more than the circle round the body
)
# From this many image pixels to one of the crop on, four are averaged. Sensor noise (10 of 255) then moves
# the landmarks by 1.0 instead of 1.7 px of the crop; below, averaging does them no good.
SPARSE = 4.0


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


def crop_of_box(box_xyxy: NDArray[np.float32]) -> Crop:
    """Where to look first at a person of whom only the box (4,), px, is known: an upright square round it."""
    x0, y0, x1, y1 = (float(value) for value in box_xyxy)
    return Crop((x0 + x1) / 2, (y0 + y1) / 2, BOX_MARGIN * max(x1 - x0, y1 - y0, 1.0))


def crop_of_landmarks(hip: NDArray[np.float32], top: NDArray[np.float32]) -> Crop:
    """Where to look at a person whose two auxiliary points (2,), image px, are known.

    `hip` is the middle of the hips, the centre; `top` lies on the circle round the whole body, right above
    the hips in the person's own sense (BlazePose, section 2.2: Vitruvian man).
    """
    dx, dy = (float(value) for value in top - hip)
    size = 2 * LANDMARK_MARGIN * float(np.hypot(dx, dy))
    return Crop(float(hip[0]), float(hip[1]), max(size, 1.0), float(np.arctan2(dx, -dy)))


def warp(
    image: NDArray[np.uint8], crop: Crop, pixels: int, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """What the crop shows: uint8 (pixels, pixels, 3), black outside the image; in `out` where given."""
    if crop.size >= SPARSE * pixels:
        twice = _bilinear(image, crop, 2 * pixels, None)
        return np.asarray(
            cv2.resize(twice, (pixels, pixels), dst=out, interpolation=cv2.INTER_AREA), np.uint8
        )
    return _bilinear(image, crop, pixels, out)


def _bilinear(
    image: NDArray[np.uint8], crop: Crop, pixels: int, out: NDArray[np.uint8] | None
) -> NDArray[np.uint8]:
    to_image = crop_to_image(crop, pixels)
    # cv2 counts from the middle of the first pixel, we from its corner: half a pixel on both sides.
    # (MediaPipe's CPU converter leaves this out and so looks (scale - 1) / 2 image pixels to the side.)
    to_image[:, 2] += to_image[:, :2] @ [0.5, 0.5] - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, to_image, (pixels, pixels), dst=out, flags=flags), np.uint8)
