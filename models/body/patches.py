"""Patches of the body surface that a dense map shows, as points that the fit can draw to their pixels.

Idea: HoloPose (Güler and Kokkinos, CVPR 2019, section 4.2): the posed surface should project to where dense
correspondence sees it. Here the pixels of a patch are taken together, and it is rigid on its strongest segment: a
hundred points instead of thousands of pixels.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.data import load
from bodystream.models.body.kinematics import rest_lengths
from bodystream.models.body.skeleton import BONES, LONG, SEGMENTS
from bodystream.models.body.skin import shares
from bodystream.models.body.surface import rest_points

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

ACROSS, DOWN = 2, 3  # patches a part, by U and by V
PATCHES = 24 * ACROSS * DOWN
SURE = 100  # of a pixel's confidence, 0..255
FEWEST, MANY = 3, 20  # pixels of the dense map: a patch of fewer tells nothing, one of more no more
RIGID = 0.5  # a patch whose strongest segment has less of its skin moves with several
# The bone whose length stretches a segment along itself; heads, hands and feet grow with the person.
_STRETCHED_BY = {
    "pelvis": "torso", "chest": "torso", "upper_arm": "upper_arm", "forearm": "forearm",
    "forearm_twist": "forearm", "thigh": "thigh", "shank": "shank",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shown:
    """What a dense map shows of each patch: `weights` (PATCHES,), 0..1; the middle of its pixels in the image,
    `pixels` (PATCHES, 2), and of their places on the rest body, `places` (PATCHES, 3), m. Zeros where nothing."""

    weights: Doubles
    pixels: Doubles
    places: Doubles

    @staticmethod
    def nothing() -> "Shown":
        """Of somebody without a dense map."""
        return Shown(np.zeros(PATCHES), np.zeros((PATCHES, 2)), np.zeros((PATCHES, 3)))


def shown(part: NDArray[np.uint8], uv: Floats, confidence: NDArray[np.uint8], to_image: Doubles) -> Shown:
    """The patches that a dense map shows, with its arrays as in `pipeline.types.Dense`."""
    row, column = np.nonzero((part > 0) & (confidence > SURE))
    where, places = part[row, column], uv[:, row, column].T  # (n,), (n, 2)
    patch, sure = patch_of(where, places), confidence[row, column] / 255
    centres = np.stack([column, row], axis=1) + 0.5
    values = np.concatenate(
        [centres @ to_image[:, :2].T + to_image[:, 2], rest_points(where, places)], axis=1
    )
    total = np.bincount(patch, sure, PATCHES)
    sums = np.stack([np.bincount(patch, sure * value, PATCHES) for value in values.T], axis=1)
    means = sums / np.maximum(total, 1e-9)[:, None]  # (PATCHES, 5)
    weights = np.where((total >= FEWEST) & _table().rigid, np.minimum(total / MANY, 1), 0.0)
    return Shown(weights, means[:, :2], means[:, 2:])


def patch_of(part: NDArray[np.uint8], uv: NDArray[np.floating]) -> NDArray[np.intp]:
    """The patch of places on the charts: part (n,), 1..24, uv (n, 2)."""
    across, down = (
        np.minimum((uv[:, i] * count).astype(np.intp), count - 1) for i, count in enumerate((ACROSS, DOWN))
    )
    return (part.astype(np.intp) - 1) * (ACROSS * DOWN) + across * DOWN + down


def owners() -> NDArray[np.intp]:
    """The segment of each patch: (PATCHES,)."""
    return _table().owners


def arms(places: Doubles, lengths: Floats) -> Doubles:
    """From the starts of their segments to places on the rest bodies of N people with bones `lengths` (N, 7).

    `places` is (N, PATCHES, 3), on the mean body, m. Segments are as long as the person's bones and as thick as
    the person's size makes them.
    """
    table = _table()
    ratio = lengths / rest_lengths()  # (N, 7)
    size = lengths[:, LONG].sum(-1) / rest_lengths()[LONG].sum()  # (N,)
    long = np.where(table.bones >= 0, ratio[:, table.bones], size[:, None])[..., None]  # (N, PATCHES, 1)
    away = places - table.starts
    along = (away * table.axes).sum(-1, keepdims=True) * table.axes
    return np.asarray(size[:, None, None] * (away - along) + long * along, np.float64)


@dataclass(frozen=True)
class _Table:
    """Of each patch: its segment, whether that has it nearly to itself, the segment's start and direction at rest,
    and the bone that stretches it, -1 if none."""

    owners: NDArray[np.intp]
    rigid: NDArray[np.bool_]
    starts: Doubles
    axes: Doubles
    bones: NDArray[np.intp]


@cache
def _table() -> _Table:
    body = load()
    patch = patch_of(body.part, body.uv)  # (C,) of chart vertices
    weights = shares()[body.chart_vertex]  # (C, 17)
    skin = np.stack([np.bincount(patch, column, PATCHES) for column in weights.T], axis=1)  # (PATCHES, 17)
    count = np.maximum(np.bincount(patch, minlength=PATCHES), 1)
    own = skin.argmax(1)
    ends = body.joints.astype(np.float64)[own]  # (PATCHES, 2, 3)
    axes = ends[:, 1] - ends[:, 0]
    names = [SEGMENTS[i].removeprefix("left_").removeprefix("right_") for i in own]
    bones = [BONES.index(_STRETCHED_BY[name]) if name in _STRETCHED_BY else -1 for name in names]
    return _Table(
        own,
        skin.max(1) / count > RIGID,
        ends[:, 0],
        axes / np.linalg.norm(axes, axis=1, keepdims=True),
        np.array(bones),
    )
