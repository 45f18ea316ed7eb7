"""Skeleton animation: `.bvh`, one file a person."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.kinematics import matrices
from bodystream.models.body.skeleton import PARENTS, SEGMENTS
from bodystream.pipeline.bones import BONE_PARENTS, BONES, rest_bones
from bodystream.pipeline.clip import Motion

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

CM = 100.0  # BVH names no unit; MotionBuilder, Maya and most archives count centimetres
ROOT_CHANNELS = "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
CHANNELS = "CHANNELS 3 Zrotation Xrotation Yrotation"


def write_bvh(path: Path, motion: Motion) -> None:
    """Write the person's skeleton at rest and its motion: cm, y up, rotations about Z, then X, then Y.

    A joint's rotation is Rz Rx Ry, degrees, relative to its parent. At rest the body faces +z with its left to +x.
    """
    offsets = CM * rest_bones(motion.skeleton).astype(np.float64)
    with path.open("w", encoding="ascii", newline="") as file:
        file.writelines(line + "\n" for line in ("HIERARCHY", *_hierarchy(offsets)))
        file.write(f"MOTION\nFrames: {motion.clock.count}\nFrame Time: {1 / float(motion.clock.rate):.9f}\n")
        angles = _continuous(_angles(matrices(motion.local())))  # (T, 17, 3)
        order = [SEGMENTS.index(segment) for segment in _depth_first()]
        table = np.concatenate([CM * motion.root, angles[:, order].reshape(len(angles), -1)], axis=1)
        row = " ".join(["%.4f"] * table.shape[1]) + "\n"  # a µm, and 2 µm a metre away
        file.writelines(row % tuple(line) for line in table)


def _depth_first(segment: int = 0) -> Iterator[str]:
    """Segments in the order in which the hierarchy names them, which is that of the channels."""
    yield SEGMENTS[segment]
    for child, parent in enumerate(PARENTS):
        if parent == segment:
            yield from _depth_first(child)


def _hierarchy(places: Doubles, bone: int = 0, indent: str = "") -> Iterator[str]:
    """Lines of a bone and what hangs on it; `places` (22, 3) are all bones' at rest."""
    parent, ends_it = BONE_PARENTS[bone], bone >= len(SEGMENTS)
    yield indent + ("End Site" if ends_it else f"{'ROOT' if parent < 0 else 'JOINT'} {BONES[bone]}")
    yield indent + "{"
    # The root's place is in its channels; some readers would add an offset to it, some would not.
    offset = np.zeros(3) if parent < 0 else places[bone] - places[parent]
    yield indent + "\tOFFSET " + " ".join(f"{value:.5f}" for value in offset)
    if not ends_it:
        yield indent + "\t" + (ROOT_CHANNELS if parent < 0 else CHANNELS)
    for child, its_parent in enumerate(BONE_PARENTS):
        if its_parent == bone:
            yield from _hierarchy(places, child, indent + "\t")
    yield indent + "}"


def _angles(turns: Floats) -> Doubles:
    """Angles (..., 3) about z, x, y, degrees, of which rotations (..., 3, 3) are made: R = Rz Rx Ry."""
    turns = turns.astype(np.float64)
    x = np.arcsin(np.clip(turns[..., 2, 1], -1, 1))
    z = np.arctan2(-turns[..., 0, 1], turns[..., 1, 1])
    y = np.arctan2(-turns[..., 2, 0], turns[..., 2, 2])
    return np.degrees(np.stack([z, x, y], axis=-1))


def _continuous(angles: Doubles) -> Doubles:
    """The same rotations, (T, J, 3), by angles that are next to those of the frame before.

    (z, x, y) and (z + 180, 180 - x, y + 180) are one rotation, and so is each with whole turns added: a knee
    that bends past a right angle would else seem to spin.
    """
    result = np.array(angles)
    for frame in range(1, len(result)):
        before, one = result[frame - 1], angles[frame]
        other = np.array([180, 180, 180]) + one * np.array([1, -1, 1])
        one, other = (each - 360 * np.round((each - before) / 360) for each in (one, other))
        nearer = np.abs(one - before).sum(-1) <= np.abs(other - before).sum(-1)
        result[frame] = np.where(nearer[:, None], one, other)
    return result
