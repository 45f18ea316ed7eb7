"""Synthetic people: a shape from child to heavy adult, clothes and hair, and the body's joints."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.data import load
from bodystream.models.body.mesh import normals
from bodystream.models.body.skeleton import HEAD, PARENTS, SEGMENTS, bone_lengths
from bodystream.models.body.skin import landmarks_on, shaped, shares, weighted

Floats = NDArray[np.float32]

SPREAD = 1.15  # of the shape coefficients: a little beyond the sample that the basis was made from
LOOSE = 0.6  # share of people in loose clothes
# How far loose clothes stand off at most, m, by segment; heads, hands and feet have none.
CLOTHES = {
    "pelvis": 0.04,
    "chest": 0.035,
    "upper_arm": 0.028,
    "forearm": 0.018,
    "thigh": 0.045,
    "shank": 0.045,
}
TIGHT = 0.014  # m, everybody else's
HAIR, HAIR_SHARE = 0.045, 0.6  # m, and how many have hair or a hat that changes the outline
WAVES = 12  # cosines that a fold of cloth is made of


@dataclass(frozen=True, slots=True)
class Figure:
    """One person to be posed: `body` (V, 68) and `marks` (33·M, 68) as `skin.weighted` makes them, the first
    with clothes on, the second the bare skin where landmarks are; `joints` (17, 3), the segments' starts at
    rest, m; `lengths` (7,) of their bones, m; `height`, m.
    """

    body: Floats
    marks: Floats
    joints: Floats
    lengths: Floats
    height: float


def make_figure(rng: np.random.Generator) -> Figure:
    """Draw a person."""
    model = load()
    coefficients = (SPREAD * rng.normal(size=len(model.shapes))).astype(np.float32)
    bare = shaped(coefficients)
    marks = landmarks_on(bare)
    dressed = bare + rest_normals() * _clothes(rng)[:, None]
    near = model.landmark_vertices.ravel()
    joints = model.joints + np.tensordot(coefficients, model.joint_shapes, 1)
    return Figure(
        body=weighted(dressed.astype(np.float32)),
        marks=np.ascontiguousarray(weighted(bare)[near]),
        joints=joints[:, 0].astype(np.float32),
        lengths=bone_lengths(marks, np.ones(len(marks), np.float32)),
        height=float(np.ptp(bare[:, 1])),
    )


def articulated(turns: Floats, joints: Floats) -> Floats:
    """Segments (17, 3, 4) of a body whose segments are turned by `turns` (17, 3, 3), joined at `joints` (17, 3).

    The pelvis stays where it is at rest.
    """
    starts = np.array(joints)
    for segment, parent in enumerate(PARENTS):
        if parent >= 0:
            starts[segment] = starts[parent] + turns[parent] @ (joints[segment] - joints[parent])
    offsets = starts - (turns @ joints[..., None])[..., 0]
    return np.concatenate([turns, offsets[..., None]], axis=-1).astype(np.float32)


def landmarks_of(figure: Figure, segments: Floats) -> Floats:
    """The 33 landmarks (33, 3) of a posed figure, on its skin."""
    model = load()
    near = figure.marks @ segments.transpose(0, 2, 1).reshape(-1, 3)  # (33·M, 3)
    return (near.reshape(33, -1, 3) * model.landmark_weights[..., None]).sum(1).astype(np.float32)


def _clothes(rng: np.random.Generator) -> Floats:
    """How far the outline stands off the skin, m: (V,)."""
    cloth = np.clip(0.35 + waves(rng, metres=0.25), 0, 1)
    reach = rng.uniform(0.25, 1.0) if rng.random() < LOOSE else 0.0
    off = TIGHT * rng.random() + reach * cloth * _cloth_reach()
    off[_bare()] = 0
    if rng.random() < HAIR_SHARE:
        off = off + HAIR * rng.uniform(0.2, 1.0) * scalp() * np.clip(
            0.7 + 0.5 * waves(rng, metres=0.12), 0, 1.2
        )
    return off.astype(np.float32)


def waves(rng: np.random.Generator, metres: float) -> Floats:
    """A smooth random field on the rest body, deviation about one half: (V,)."""
    waves = rng.normal(0, 1 / metres, (WAVES, 3))
    phases = rng.uniform(0, 2 * np.pi, WAVES)
    return (np.cos(load().vertices @ waves.T + phases).sum(1) / np.sqrt(2 * WAVES) * 0.7).astype(np.float32)


@cache
def _cloth_reach() -> Floats:
    reach = [next((m for name, m in CLOTHES.items() if segment.endswith(name)), 0.0) for segment in SEGMENTS]
    twists = [CLOTHES["forearm"] if segment.endswith("twist") else 0.0 for segment in SEGMENTS]
    return shares() @ (np.array(reach, np.float32) + np.array(twists, np.float32))


@cache
def _bare() -> NDArray[np.bool_]:
    bare = [i for i, name in enumerate(SEGMENTS) if name == "head" or name.endswith(("hand", "foot"))]
    return shares()[:, bare].sum(1) > 0.5


@cache
def scalp() -> Floats:
    """1 on the back and top of the head, fading towards face and neck: (V,)."""
    model = load()
    eyes, ears = landmarks_on(model.vertices)[[2, 7]]
    _, y, z = model.vertices.T
    above = np.clip((ears[1] + 0.05 - y) / 0.08, 0, 1)  # y is down
    behind = np.clip((z - 0.6 * eyes[2] - 0.4 * ears[2]) / 0.05, 0, 1)
    crown = np.clip((eyes[1] - 0.05 - y) / 0.04, 0, 1)
    return (shares()[:, HEAD] * np.maximum(above * behind, crown)).astype(np.float32)


@cache
def rest_normals() -> Floats:
    """Outward unit normals of the rest body: (V, 3)."""
    return normals(load().vertices)
