"""VNect round a session: boxes of an image in; 21 joints in the picture and in space out.

Mehta et al., VNect: Real-time 3D Human Pose Estimation with a Single RGB Camera, SIGGRAPH 2017, sections 4.1 and 5:
a joint is where its heatmap is highest, and its place in space is read off the three location maps there.
"""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.models.crop import Crop, crop_to_image, warp
from bodystream.models.keypoints import VNECT_KEYPOINTS

PIXELS, CELLS, STRIDE = 368, 46, 8  # side of the crop and of the maps; a cell is 8 px of the crop
# The box with a buffer of 0.2 of its height above and below and 0.4 of its width on both sides (section 4.1).
HIGHER, WIDER = 1.4, 1.8
# Location maps count decimetres: both public ports of the authors' demo multiply, one by 100 for mm, the other by 10
# for cm (XinArkh/VNect, timctho/VNect-tensorflow); x right, y down, z away.
UNIT_M = 0.1
ONE_SCALE, TWO_SCALES = (1.0,), (1.0, 0.7)  # of the crop; the ports average the maps of the latter
HIPS = [VNECT_KEYPOINTS.index(name) for name in ("left_hip", "right_hip")]
FLOOR = 1e-6  # of a heatmap, below which its logarithm says nothing

# uint8 (N, 368, 368, 3) BGR in; heatmaps, x, y and z float32 (N, 21, 46, 46) out
Session = Callable[[NDArray[np.uint8]], Sequence[NDArray[Any]]]
Floats = NDArray[np.float32]


class VnectNet:
    """Looks at people through upright squares round their boxes, all in one batch.

    `scales`: the crop is seen at each, 1 and smaller, and the maps are averaged; each costs a run of the network.
    """

    def __init__(self, session: Session, scales: Sequence[float] = ONE_SCALE) -> None:
        self._session, self._scales = session, scales

    def __call__(self, image: NDArray[np.uint8], boxes_xyxy: Floats) -> tuple[Floats, Floats]:
        """Joints in the picture, float32 (N, 21, 3), x px, y px, confidence 0..1, and in space, (N, 21, 4): m, from
        between the hips, x right, y down, z away from the camera, and the same confidence.

        `image` is uint8 (H, W, 3) BGR, `boxes_xyxy` (N, 4) px. Metres are those of a person of the one height that the
        network was trained with, whoever is seen.
        """
        crops = [crop_of(box) for box in boxes_xyxy]
        if not crops:
            return np.empty((0, 21, 3), np.float32), np.empty((0, 21, 4), np.float32)
        maps = np.mean(
            [self._maps(image, crops, scale) for scale in self._scales], axis=0
        )  # (4, N, 21, 46, 46)
        read = [joints_of(maps[:, i], crop) for i, crop in enumerate(crops)]
        landmarks, world = zip(*read, strict=True)
        return np.stack(landmarks), np.stack(world)

    def _maps(self, image: NDArray[np.uint8], crops: Sequence[Crop], scale: float) -> Floats:
        """Heatmaps and location maps at the crops' own scale: (4, N, 21, 46, 46)."""
        batch = np.empty((len(crops), PIXELS, PIXELS, 3), np.uint8)
        for crop, window in zip(crops, batch, strict=True):
            warp(image, Crop(crop.x, crop.y, crop.size / scale), PIXELS, out=window)
        maps = np.stack(self._session(batch)).astype(np.float32, copy=False)
        return maps if scale == 1 else _enlarged(maps, scale)


def crop_of(box_xyxy: Floats) -> Crop:
    """The square round a person's box (4,), px."""
    x0, y0, x1, y1 = (float(value) for value in box_xyxy)
    return Crop((x0 + x1) / 2, (y0 + y1) / 2, max(HIGHER * (y1 - y0), WIDER * (x1 - x0), 1.0))


def joints_of(maps: Floats, crop: Crop) -> tuple[Floats, Floats]:
    """Read one person's joints off heatmaps and location maps: (21, 3) and (21, 4), as `VnectNet` returns them.

    `maps` is float32 (4, 21, 46, 46): heatmaps, x, y, z.
    """
    cells, confidence = maxima(maps[0])
    to_image = crop_to_image(crop, PIXELS)
    points = (cells + 0.5) * STRIDE @ to_image[:, :2].T + to_image[:, 2]  # (21, 2)
    space = UNIT_M * np.stack([_sampled(each, cells) for each in maps[1:]], axis=-1)  # (21, 3)
    space -= space[HIPS].mean(0)
    landmarks, world = (np.column_stack([each, confidence]) for each in (points, space))
    return landmarks.astype(np.float32), world.astype(np.float32)


def maxima(heatmaps: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where maps (J, h, w) are highest, (J, 2) column and row, and how high, (J,), within 0..1.

    Between the cells by a parabola through the logarithms of neighbours, which is exact for a Gaussian; source:
    Zhang et al., Distribution-Aware Coordinate Representation for Human Pose Estimation, CVPR 2020, for one axis.
    """
    count, height, width = heatmaps.shape
    best = heatmaps.reshape(count, -1).argmax(1)
    rows, columns = np.divmod(best, width)
    every = np.arange(count)
    logs = np.log(np.maximum(np.pad(heatmaps, ((0, 0), (1, 1), (1, 1)), mode="edge"), FLOOR)).astype(
        np.float64
    )

    def off(
        before: NDArray[np.float64], here: NDArray[np.float64], after: NDArray[np.float64]
    ) -> NDArray[Any]:
        bend = 2 * here - before - after
        return np.clip(np.where(bend > 1e-9, (after - before) / (2 * np.maximum(bend, 1e-9)), 0.0), -0.5, 0.5)

    r, c = rows + 1, columns + 1
    here = logs[every, r, c]
    x = columns + off(logs[every, r, c - 1], here, logs[every, r, c + 1])
    y = rows + off(logs[every, r - 1, c], here, logs[every, r + 1, c])
    inside = np.column_stack([np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)])
    return inside, np.clip(heatmaps[every, rows, columns], 0, 1).astype(np.float64)


def _sampled(maps: Floats, cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (J,) of maps (J, h, w) at `cells` (J, 2), column and row, between cells by bilinear interpolation."""
    height, width = maps.shape[1:]
    column, row = np.clip(np.floor(cells), 0, [width - 2, height - 2]).astype(int).T
    along, down = (cells - np.column_stack([column, row])).T
    every = np.arange(len(maps))
    upper, lower = (
        (1 - along) * maps[every, r, column] + along * maps[every, r, column + 1] for r in (row, row + 1)
    )
    return np.asarray((1 - down) * upper + down * lower)


def _enlarged(maps: Floats, scale: float) -> Floats:
    """The middle of maps (..., 46, 46) of a crop that was seen at `scale`, as large as at scale 1."""
    shift = CELLS / 2 * (1 - scale)
    to_small = np.array([[scale, 0, shift], [0, scale, shift]])
    to_small[:, 2] += to_small[:, :2] @ [0.5, 0.5] - 0.5  # cv2 counts from the middle of the first cell
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    flat = maps.reshape(-1, CELLS, CELLS)
    large = [cv2.warpAffine(each, to_small, (CELLS, CELLS), flags=flags) for each in flat]
    return np.stack(large).reshape(maps.shape).astype(np.float32)
