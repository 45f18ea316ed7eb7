"""The skeleton fitted to joints in the picture and in space: damped Gauss-Newton over 38 degrees of freedom.

Second half of VNect (Mehta et al., VNect: Real-time 3D Human Pose Estimation with a Single RGB Camera, SIGGRAPH
2017, section 4.2), with two changes that measurements asked for (docs/pose3d.md): what steadies the pose acts on
joints relative to the root, since damped absolute places freeze the root; and the picture weighs eight times as
much as the depth, not forty-four, or limbs flip in depth.

Everything is in the camera's axes, m; people come as a batch, N, joints as J.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.freedoms import (
    ANGLES,
    BALLS,
    FREEDOMS,
    ROOT,
    TURNS,
    Doubles,
    Posture,
    derivatives,
    hinges,
    moves_of,
    posture_of,
    starts_of,
    turns_of_posture,
)
from bodystream.models.body.joint_sets import JointSet
from bodystream.models.body.kinematics import Skeleton
from bodystream.models.body.pose import turns_of
from bodystream.models.body.skeleton import CHEST, HEAD, PARENTS

# Elbow, knee and the others beyond their limits: a tenth of a radian costs as much as a joint 10 cm off.
LIMITS = 1.0
# How far a joint is from the rest pose, rad, one deviation (balls: the sine): shoulders and hips alone do not tell
# how the back bends between them, nor a straight limb how it is turned about itself, and what the fit is free to do
# it does with the errors of depth. Each counts as much as the targets are wrong: with exact ones, not at all.
CHEST_BENDS, HEAD_TURNS, TWISTS, WRIST_BENDS, ANKLE_BENDS, ANKLE_TURNS = 0.15, 0.3, 0.5, 0.4, 0.35, 0.25
DAMPING = 1e-3  # of each step: what hardly anything tells about goes slowly, what nothing does stays
LEAST_DEPTH = 0.2  # m; nobody is nearer to a camera that sees a person
START_DAMPING, EASIER, HARDER = 1e-3, 0.3, 8.0  # Levenberg's factor on the diagonal
STILL = 1e-4  # rad and m: a step this short ends the search
SLIGHT = 1e-2  # of the energy: so small a gain does too; the next frame goes on

WARM, COLD = 4, 40  # steps at most, from the last frame's pose and from the closed form

_BENT = np.array([np.inf, TWISTS, WRIST_BENDS, WRIST_BENDS, np.inf, ANKLE_BENDS, ANKLE_TURNS])
_PRIORS = np.tile(1 / _BENT**2, 2)  # (14,); elbows and knees are told well enough
_DRAWN = np.flatnonzero(np.isin(BALLS, [CHEST, HEAD]))  # balls that are drawn to the rest pose, and how much
_DRAWN_BY = 1 / np.array([[CHEST_BENDS], [HEAD_TURNS]]) ** 2


@dataclass(frozen=True, slots=True)
class Figures:
    """N people's bodies as far as the fit needs them: `bones` (N, 17, 3) lead from each segment's parent's start to
    its own, `arms` (N, J, 3) from the start of a joint's segment, `owners` (J,), to the joint, at rest, m; `moves`
    (J, 35) tells which turning freedom moves which joint."""

    owners: NDArray[np.intp]
    moves: Doubles
    bones: Doubles
    arms: Doubles

    @staticmethod
    def of(joints: JointSet, skeleton: Skeleton) -> "Figures":
        """Of skeletons with leading axis N."""
        starts = skeleton.starts.astype(np.float64)
        bones = starts - starts[:, PARENTS]
        bones[:, 0] = 0
        return Figures(
            joints.owners, joints.moves, bones, joints.at_rest(skeleton) - starts[:, joints.owners]
        )

    def some(self, people: NDArray[np.bool_] | slice) -> "Figures":
        """Those of some of the people."""
        return replace(self, bones=self.bones[people], arms=self.arms[people])

    def more(self, owners: NDArray[np.intp], arms: Doubles) -> "Figures":
        """With further points, fixed to `owners` (K,) by `arms` (N, K, 3)."""
        return Figures(
            np.concatenate([self.owners, owners]),
            np.concatenate([self.moves, moves_of(owners)]),
            self.bones,
            np.concatenate([self.arms, arms], axis=1),
        )


@dataclass(frozen=True, slots=True)
class Targets:
    """What N people are drawn to, and how strongly.

    `places` (N, J, 3): joints from the root, m. `rays` (N, J, 2): where they are seen, x / z and y / z. `root`
    (N, 3): where the root is expected. `anchors` (N, J, 3): joints in space that stay where they are. Weights are
    those of squared metres, of `rays` of the squared ratio; a weight of 0 means not seen, and its target is finite.
    """

    places: Doubles
    place_weights: Doubles  # (N, J)
    rays: Doubles
    ray_weights: Doubles  # (N, J)
    root: Doubles
    root_weights: Doubles  # (N,)
    anchors: Doubles
    anchor_weights: Doubles  # (N, J, 3), each axis by itself
    doubt: Doubles  # (N,) m², how far `places` are off, squared: what deviations from the rest pose are weighed by

    def more(self, rays: Doubles, weights: Doubles) -> "Targets":
        """With further joints that are seen in the picture alone: rays (N, K, 2) and their weights (N, K)."""
        nowhere, nothing = np.zeros((*weights.shape, 3)), np.zeros_like(weights)
        added = {"places": nowhere, "place_weights": nothing, "rays": rays, "ray_weights": weights}
        added |= {"anchors": nowhere, "anchor_weights": nowhere}
        joined = {name: np.concatenate([getattr(self, name), more], axis=1) for name, more in added.items()}
        return replace(self, **joined)

    def of(self, chosen: NDArray[np.bool_]) -> "Targets":
        """Those of some of the people."""
        return Targets(*(getattr(self, name)[chosen] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Equations:
    """The energy of N people and its normal equations: `value` (N,), `slope` (N, 38), half the gradient, and `bend`
    (N, 38, 38), half of Gauss and Newton's Hessian; `points` (N, J, 3), where the joints are."""

    value: Doubles
    slope: Doubles
    bend: Doubles
    points: Doubles


@dataclass(frozen=True, slots=True)
class Fit:
    """N people as fitted: how they stand, `turns` (N, 17, 3, 3), `starts` (N, 17, 3) and `points` (N, J, 3), the
    energy (N,), and how many steps it took."""

    posture: Posture
    turns: Doubles
    starts: Doubles
    points: Doubles
    energy: Doubles
    steps: int


def fit(figures: Figures, targets: Targets, start: Posture, steps: int = WARM, slight: float = SLIGHT) -> Fit:
    """Search from `start` for the postures of least energy, at most `steps` steps for everybody together, and no
    further once nobody's energy falls by more than the share `slight` in a step.

    Levenberg's method: a step that makes things worse is not taken, and the next one is more cautious.
    """
    posture, now = start, equations(figures, targets, start)
    damping = np.full(len(start.root), START_DAMPING)
    taken = 0
    while taken < steps:
        taken += 1
        system = now.bend.copy()
        _diagonal(system)[:] += damping[:, None] * _diagonal(system) + DAMPING
        step = np.asarray(-np.linalg.solve(system, now.slope[..., None])[..., 0], np.float64)
        tried = posture.moved(step)
        then = equations(figures, targets, tried)
        better = then.value <= now.value
        gain = np.where(better, (now.value - then.value) / np.maximum(now.value, 1e-12), 1.0)
        still = np.abs(step).max(-1, initial=0) < STILL
        if better.all():
            posture, now = tried, then
        else:
            posture, now = tried.where(better, posture), _chosen(better, then, now)
        damping *= np.where(better, EASIER, HARDER)
        if (still | (gain < slight)).all():
            break
    turns = turns_of_posture(posture)
    starts = starts_of(turns, posture.root, figures.bones)
    return Fit(posture, turns, starts, now.points, now.value, taken)


def _chosen(better: NDArray[np.bool_], a: Equations, b: Equations) -> Equations:
    return Equations(
        np.where(better, a.value, b.value),
        np.where(better[:, None], a.slope, b.slope),
        np.where(better[:, None, None], a.bend, b.bend),
        np.where(better[:, None, None], a.points, b.points),
    )


def equations(figures: Figures, targets: Targets, posture: Posture) -> Equations:
    """The energy at a posture, with its derivatives."""
    turns = turns_of_posture(posture)
    starts = starts_of(turns, posture.root, figures.bones)
    owners = figures.owners
    points = starts[:, owners] + (turns[:, owners] @ figures.arms[..., None])[..., 0]  # (N, J, 3)
    moves = derivatives(turns, starts, points, figures.moves)  # (N, J, 3, 35)
    value, fixed, pull = _seen(points, targets)
    away = points - posture.root[:, None] - targets.places
    value = value + (targets.place_weights[..., None] * away * away).sum((1, 2))
    home = posture.root - targets.root
    value = value + targets.root_weights * (home * home).sum(-1)

    count, rows = len(points), 3 * points.shape[1]
    flat = moves.reshape(count, rows, 35)
    heavy = fixed @ moves  # (N, J, 3, 35)
    bend, slope = np.empty((count, FREEDOMS, FREEDOMS)), np.empty((count, FREEDOMS))
    bend[:, ROOT, ROOT] = fixed.sum(1) + targets.root_weights[:, None, None] * _EYE
    bend[:, ROOT, 3:] = heavy.sum(1)
    bend[:, 3:, ROOT] = bend[:, ROOT, 3:].swapaxes(1, 2)
    heavy += targets.place_weights[..., None, None] * moves
    bend[:, 3:, 3:] = flat.swapaxes(1, 2) @ heavy.reshape(count, rows, 35)
    slope[:, ROOT] = pull.sum(1) + targets.root_weights[:, None] * home
    pull += targets.place_weights[..., None] * away
    slope[:, 3:] = (pull.reshape(count, 1, rows) @ flat)[:, 0]
    value = value + _held(posture, targets.doubt, slope, bend)
    return Equations(value, slope, bend, points)


_EYE = np.eye(3)


def _seen(points: Doubles, targets: Targets) -> tuple[Doubles, Doubles, Doubles]:
    """Of what is fixed in the picture or in space: value (N,), weights (N, J, 3, 3) and pulls (N, J, 3) on points."""
    depth = np.maximum(points[..., 2:], LEAST_DEPTH)
    ratio = points[..., :2] / depth
    miss = (ratio - targets.rays) * targets.ray_weights[..., None]  # (N, J, 2)
    value = (miss * (ratio - targets.rays)).sum((1, 2))
    # d (x / z, y / z) = [1 0 -x/z; 0 1 -y/z] / z
    weight = targets.ray_weights / (depth[..., 0] * depth[..., 0])
    x, y = ratio[..., 0], ratio[..., 1]
    fixed = np.zeros((*points.shape, 3))
    fixed[..., 0, 0] = fixed[..., 1, 1] = weight
    fixed[..., 0, 2] = fixed[..., 2, 0] = -weight * x
    fixed[..., 1, 2] = fixed[..., 2, 1] = -weight * y
    fixed[..., 2, 2] = weight * (x * x + y * y)
    pull = np.empty_like(points)
    pull[..., :2] = miss / depth
    pull[..., 2] = -(miss * ratio).sum(-1) / depth[..., 0]
    if targets.anchor_weights.any():
        slid = points - targets.anchors
        weighted = targets.anchor_weights * slid
        value = value + (weighted * slid).sum((1, 2))
        pull += weighted
        for axis in range(3):
            fixed[..., axis, axis] += targets.anchor_weights[..., axis]
    return value, fixed, pull


def _held(posture: Posture, doubt: Doubles, slope: Doubles, bend: Doubles) -> Doubles:
    """Energy (N,) of limits and of what is drawn to the rest pose; adds to `slope` and `bend` in place."""
    known, angles = hinges(), posture.angles
    beyond = angles - np.minimum(np.maximum(angles, known.low), known.high)
    priors = doubt[:, None] * _PRIORS  # (N, 14)
    value = (LIMITS * beyond * beyond + priors * angles * angles).sum(-1)
    slope[:, ANGLES] += LIMITS * beyond + priors * angles
    _diagonal(bend)[:, ANGLES] += LIMITS * (beyond != 0) + priors
    turns = posture.balls[:, _DRAWN]  # (N, 2, 3, 3)
    back = turns.swapaxes(-1, -2)
    # The axis times the angle's sine. Its d for R exp(d) is half of (tr R - Rᵀ) d.
    sine = (turns - back)[..., _ROWS, _COLUMNS] / 2  # (N, 2, 3)
    by = (np.trace(turns, axis1=2, axis2=3)[..., None, None] * _EYE - back) / 2
    drawn = doubt[:, None, None] * _DRAWN_BY  # (N, 2, 1)
    value = value + (drawn * sine * sine).sum((1, 2))
    bends = drawn[..., None] * by.swapaxes(-1, -2) @ by
    slopes = ((drawn * sine)[:, :, None] @ by)[:, :, 0]
    for i, ball in enumerate(_DRAWN):
        at = slice(TURNS.start + 3 * ball, TURNS.start + 3 * ball + 3)
        slope[:, at] += slopes[:, i]
        bend[:, at, at] += bends[:, i]
    return value


def _diagonal(matrices: Doubles) -> Doubles:
    """The diagonals (N, K) of contiguous matrices (N, K, K), to be written to."""
    size = matrices.shape[-1]
    return matrices.reshape(len(matrices), size * size)[:, :: size + 1]


_ROWS, _COLUMNS = np.array([2, 0, 1]), np.array([1, 2, 0])


def start_of(figures: Figures, world: Doubles, targets: Targets) -> Posture:
    """Where to search from when nothing is known: the closed form's pose, placed where the picture has it.

    `world` is (N, 33, 3): BlazePose's landmarks, m.
    """
    posture = posture_of(turns_of(world.astype(np.float32)), np.zeros((len(world), 3)))
    turns = turns_of_posture(posture)
    starts = starts_of(turns, posture.root, figures.bones)
    owners = figures.owners
    points = starts[:, owners] + (turns[:, owners] @ figures.arms[..., None])[..., 0]
    return Posture(placed(points, targets.rays, targets.ray_weights), posture.balls, posture.angles)


def placed(points: Doubles, rays: Doubles, weights: Doubles) -> Doubles:
    """The root (N, 3) that puts points (N, J, 3), from the root, on their rays: linear least squares.

    (x + X) - u (z + Z) = 0, likewise y; source: Abdel-Aziz and Karara's direct linear transformation.
    """
    rows = np.zeros((*rays.shape, 3))  # (N, J, 2, 3)
    rows[..., 0, 0] = rows[..., 1, 1] = 1
    rows[..., 2] = -rays
    wanted = rays * points[..., 2:] - points[..., :2]  # (N, J, 2)
    heavy = rows * weights[..., None, None]
    normal = np.einsum("njai,njak->nik", heavy, rows)
    right = np.einsum("njai,nja->ni", heavy, wanted)
    # Without a ray the normal equations have no solution; three metres ahead is as good as any.
    tiny = (1e-12 + 1e-9 * np.trace(normal, axis1=1, axis2=2))[:, None, None] * _EYE
    somewhere = np.array([0.0, 0.0, 3.0])
    root = np.linalg.solve(normal + tiny, (right + tiny @ somewhere)[..., None])[..., 0]
    return np.where(root[:, 2:] > LEAST_DEPTH, root, somewhere)
