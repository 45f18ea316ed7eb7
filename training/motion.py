"""Stretches of motion, many at a time: motion capture played at different speeds, and made-up poses."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.freedoms import exponential
from bodystream.models.body.skeleton import CHEST, LEFT, RIGHT
from bodystream.training.poses import Motion, sampled_pose

Floats = NDArray[np.float32]

RATE, STORED = 30.0, 15.0  # Hz, of what is made and of motion capture
SPEED = (0.75, 1.3)  # at which motion capture is played
CAPTURED = 0.65  # share of windows from motion capture, where there is any
OTHER_ARMS = 0.25  # of these, the share that get the arms of another moment
HELD = 0.4  # of made-up windows, the share in which one pose is held; in the others one becomes another
JITTER = 2.5  # degrees, each component: how far every segment is turned from where it was
POOL = 6000  # made-up poses, of whose trunks, arms and legs others are put together
POOL_SEED = 5


def windows(motion: Motion | None, count: int, steps: int, rng: np.random.Generator) -> Floats:
    """Turns of the 17 segments over `steps` at RATE: float32 (count, steps, 17, 3, 3), headings as they come."""
    captured = 0 if motion is None else int(rng.binomial(count, CAPTURED))
    parts = [_made_up(count - captured, steps, rng)]
    if motion is not None:
        parts.append(_captured(motion, captured, steps, rng))
    turns = np.concatenate(parts)
    mirrored = rng.random(count) < 0.5
    turns[mirrored] = mirror(turns[mirrored])
    jitter = rotations(rng.normal(0, np.radians(JITTER), (count, 1, 17, 3)))
    return turns @ jitter


def _captured(motion: Motion, count: int, steps: int, rng: np.random.Generator) -> Floats:
    turns = _played(motion, count, steps, rng)
    chosen = np.flatnonzero(rng.random(count) < OTHER_ARMS)
    turns[chosen] = with_arms(turns[chosen], _played(motion, len(chosen), steps, rng))
    return turns


def _played(motion: Motion, count: int, steps: int, rng: np.random.Generator) -> Floats:
    """Windows that end in a distinct pose; before a sequence's first frame that is held."""
    last = np.flatnonzero(motion.distinct)[_drawn(motion.poses.chances, count, rng)]  # (N,)
    back = rng.uniform(*SPEED, (count, 1)) * STORED / RATE * np.arange(steps - 1, -1, -1)  # (N, T)
    at = np.maximum(last[:, None] - back, motion.starts[last][:, None])
    before = np.floor(at).astype(np.int64)
    share = (at - before)[..., None, None, None].astype(np.float32)
    after = np.minimum(before + 1, last[:, None])
    return between(motion.turns[before], motion.turns[after], share)


def _made_up(count: int, steps: int, rng: np.random.Generator) -> Floats:
    """Poses that motion capture lacks: sitting, lying, crouching, reaching."""
    first, second = _mixed(count, rng), _mixed(count, rng)
    begin, length = rng.uniform(-0.5, 1.0, (2, count, 1)) * steps
    length = np.maximum(np.abs(length), 8)  # a quarter of a second, at RATE
    share = np.clip((np.arange(steps) - begin) / length, 0, 1)  # (N, T)
    share = (share * share * (3 - 2 * share)).astype(np.float32)  # begins and ends slowly
    share[rng.random(count) < HELD] = 0
    return between(first[:, None], second[:, None], share[..., None, None, None])


def _mixed(count: int, rng: np.random.Generator) -> Floats:
    """The trunks, arms and legs of different ones of the pool: (count, 17, 3, 3)."""
    pool = _pool()
    trunk, arms, legs = (pool[rng.integers(len(pool), size=count)] for _ in range(3))
    turns = with_arms(trunk, arms)
    carry = trunk[:, :1] @ legs[:, :1].swapaxes(-1, -2)
    for begin in (LEFT, RIGHT):
        turns[:, begin + 4 : begin + 7] = carry @ legs[:, begin + 4 : begin + 7]
    return turns


@cache
def _pool() -> Floats:
    rng = np.random.default_rng(POOL_SEED)
    return np.stack([sampled_pose(rng) for _ in range(POOL)])


def with_arms(turns: Floats, other: Floats) -> Floats:
    """Poses (..., 17, 3, 3) with other ones' arms, moved from the others' chests to these ones'."""
    carry = turns[..., CHEST, :, :] @ other[..., CHEST, :, :].swapaxes(-1, -2)
    out = turns.copy()
    for begin in (LEFT, RIGHT):
        out[..., begin : begin + 4, :, :] = carry[..., None, :, :] @ other[..., begin : begin + 4, :, :]
    return out


def mirror(turns: Floats) -> Floats:
    """Poses (..., 17, 3, 3) with left and right exchanged."""
    order = [0, 1, 2, *range(RIGHT, RIGHT + 7), *range(LEFT, LEFT + 7)]
    signs = np.array([-1, 1, 1], np.float32)
    return turns[..., order, :, :] * signs[:, None] * signs


def between(first: Floats, second: Floats, share: Floats) -> Floats:
    """Rotations (..., 3, 3) on the way from the first to the second; straight, and made orthogonal again."""
    x, y, _ = np.moveaxis((1 - share) * first + share * second, -1, 0)  # columns (..., 3)
    x = x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-6)
    y = y - (x * y).sum(-1, keepdims=True) * x
    y = y / np.maximum(np.linalg.norm(y, axis=-1, keepdims=True), 1e-6)
    return np.stack([x, y, np.cross(x, y)], axis=-1).astype(np.float32)


def rotations(vectors: NDArray[np.floating]) -> Floats:
    """Rotations (..., 3, 3) about vectors (..., 3) by their lengths, rad."""
    return exponential(vectors.astype(np.float64)).astype(np.float32)


def _drawn(chances: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    return np.searchsorted(np.cumsum(chances), rng.random(count)).clip(max=len(chances) - 1)
