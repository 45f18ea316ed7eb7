"""People's poses over time: what is seen of them, what is expected, and what the fit is drawn to between both."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.fit import COLD, WARM, Figures, Fit, Targets, fit, placed, start_of
from bodystream.models.body.freedoms import Posture
from bodystream.models.body.joint_sets import JointSet
from bodystream.pipeline.contacts import Contacts
from bodystream.pipeline.motion import Memory

Doubles = NDArray[np.float64]

FRAME_S = 1 / 60  # the step that the weights are for
BLIND = 0.1  # of confidence; held by the last pose, any pull however weak would in time draw a joint away
SLOWING_S = 0.1  # in which a joint that is not seen comes to rest
DOUBT_S = 1.0  # over which it is learnt how far joints in space are off: their errors are steady
SURE_FEET = 0.5  # feet that are seen less well are not held
GAP_S = 0.2  # after so long nobody goes on as they went


@dataclass(frozen=True, slots=True)
class Weights:
    """What the energy's terms weigh against the joints in space, and over which times things are remembered."""

    picture: float = 8.0  # 44, as quoted for VNect, lets limbs flip in depth
    steady: float = 0.5  # of what is expected, at 60 frames a second; falls with the square of the step
    root: float = 10.0  # likewise; the picture places the root, and this steadies its depth
    contact: float = 10.0  # as the picture's on a limb's joint: a foot that is held must pull the root
    surface: float = 0.3  # of a patch of the surface that is fully seen, in the picture
    memory_s: float = 0.01  # of joints from the root
    root_memory_s: float = 0.05
    rest: float = 2.0  # of the rest pose, against how far joints in space are off
    returning_s: float = 0.1  # in which a joint that was hidden is trusted again


@dataclass(frozen=True, slots=True)
class Surface:
    """Patches of N people's surfaces that dense maps show: `rays` (N, K, 2), x / z and y / z, and how far they are
    trusted, `sure` (N, K), 0..1; the segments that the K are fixed to, `owners` (K,), by `arms` (N, K, 3), m."""

    rays: Doubles
    sure: Doubles
    owners: NDArray[np.intp]
    arms: Doubles


@dataclass(frozen=True, slots=True)
class Seen:
    """What is seen of N people's `joints` now: `places` (N, J, 3) from the root, m, and their `rays` (N, J, 2), x / z
    and y / z, NaN where not; `sure` (N, J), 0..1, and `step_s` (N,), since they were last seen, 0 for new ones;
    and their surfaces, if they are to be refined by them."""

    joints: JointSet
    places: Doubles
    rays: Doubles
    sure: Doubles
    step_s: Doubles
    surface: Surface | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered of N people: how they stood, where their joints (from the root) and roots went, how far
    their joints were trusted (N, J), which feet rested, and how far joints in space were off, squared (N,), m²."""

    posture: Posture
    points: Memory
    root: Memory
    sure: Doubles
    contacts: Contacts
    doubt: Doubles

    def one(self, person: int) -> "State":
        """What is remembered of one of the people."""
        return _mapped([self], lambda arrays: arrays[0][person : person + 1])

    @staticmethod
    def joined(states: Sequence["State"]) -> "State":
        """Of all people of some states."""
        return _mapped(states, np.concatenate)


def _mapped(records: Sequence[Any], change: Any) -> Any:
    """A record like these with each array made of theirs."""
    first = records[0]
    if isinstance(first, np.ndarray):
        return change(records)
    return type(first)(
        **{field.name: _mapped([getattr(r, field.name) for r in records], change) for field in fields(first)}
    )


def begun(figures: Figures, seen: Seen, world: Doubles, weights: Weights) -> State:
    """The state of people who have just come, from world landmarks (N, 33, 3): the closed form, then many steps."""
    count = len(seen.sure)
    home, nothing = np.zeros((count, 3)), np.zeros_like(seen.places)
    targets = _targets(seen, nothing, home, np.ones(count), seen.sure, np.zeros(count), weights)
    found = fit(figures, targets, start_of(figures, world, targets), COLD, slight=0.0)
    away = found.points - found.posture.root[:, None]
    contacts = Contacts.none(found.points[:, seen.joints.feet])
    off = _off(seen, away, seen.sure)
    return State(found.posture, Memory.at(away), Memory.at(found.posture.root), seen.sure, contacts, off)


def followed(
    figures: Figures, state: State, seen: Seen, weights: Weights, hold_feet: bool
) -> tuple[Fit, State]:
    """The people's poses now, and what is to be remembered of them."""
    step_s, feet = seen.step_s, seen.joints.feet
    sure = _trusted_again(state.sure, seen, weights)
    going = step_s <= GAP_S
    points, root = (_unless(going, memory) for memory in (state.points, state.root))
    expected, home = points.ahead(step_s), root.ahead(step_s)
    targets = _targets(seen, expected, home, home[:, 2], sure, state.doubt, weights)
    contacts = state.contacts
    if hold_feet:
        contacts = contacts.watched(*_feet(seen, targets, sure), step_s)
        targets.anchors[:, feet] = contacts.anchors
        targets.anchor_weights[:, feet] = weights.contact * contacts.hold[..., None]
    if seen.surface is not None:
        surface = seen.surface
        figures = figures.more(surface.owners, surface.arms)
        per_metre = weights.picture * weights.surface * home[:, 2:] ** 2
        targets = targets.more(surface.rays, per_metre * surface.sure)
    found = fit(figures, targets, state.posture, WARM)
    joints = found.points[:, : len(seen.joints.names)]
    if hold_feet:
        contacts = contacts.settled(joints[:, feet], step_s)
    away = joints - found.posture.root[:, None]
    points = points.after(away, step_s, weights.memory_s)
    share = 1 - np.exp(-step_s / DOUBT_S)
    doubt = state.doubt + share * (_off(seen, away, sure) - state.doubt)
    # What is not seen is not known to move.
    slowed = points.velocity * np.exp(-(1 - counts(sure))[..., None] * step_s[:, None, None] / SLOWING_S)
    root = root.after(found.posture.root, step_s, weights.root_memory_s)
    return found, State(found.posture, Memory(points.place, slowed), root, sure, contacts, doubt)


def _targets(
    seen: Seen,
    expected: Doubles,
    home: Doubles,
    depth: Doubles,
    sure: Doubles,
    doubt: Doubles,
    weights: Weights,
) -> Targets:
    """What people are drawn to: joints `expected` (N, J, 3) from the root, and the root `home` (N, 3)."""
    # An expectation gets worse with the square of the time that it looks ahead; who is new has none.
    step = seen.step_s[:, None]
    ahead = np.where(step > 0, (FRAME_S / np.maximum(step, 1e-3)) ** 2, 0.0)
    trust = counts(sure) * seen.joints.weights
    in_space = trust * np.isfinite(seen.places).all(-1)
    steady = weights.steady * ahead
    total = in_space + steady
    both = in_space[..., None] * np.nan_to_num(seen.places) + steady[..., None] * expected
    in_picture = trust * np.isfinite(seen.rays).all(-1)
    return Targets(
        places=both / np.maximum(total, 1e-9)[..., None],
        place_weights=total,
        rays=np.nan_to_num(seen.rays),
        ray_weights=weights.picture * in_picture * depth[:, None] ** 2,
        root=home,
        root_weights=weights.root * ahead[:, 0],
        anchors=np.zeros_like(both),
        anchor_weights=np.zeros_like(both),
        doubt=weights.rest * doubt,
    )


def _off(seen: Seen, away: Doubles, sure: Doubles) -> Doubles:
    """How far joints that are fitted, (N, J, 3) from the root, are from where they are seen in space: (N,), m²."""
    weight = counts(sure) * seen.joints.weights * np.isfinite(seen.places).all(-1)
    square = ((away - np.nan_to_num(seen.places)) ** 2).sum(-1)
    return np.asarray((weight * square).sum(-1) / np.maximum(weight.sum(-1), 1e-9))


def counts(sure: Doubles) -> Doubles:
    """What joints of a confidence 0..1 count: nothing below BLIND, where the net has not seen them.

    Not its square: limbs of middling confidence would move 8 ms later.
    """
    return np.clip((sure - BLIND) / (1 - BLIND), 0, 1)


def _feet(seen: Seen, targets: Targets, sure: Doubles) -> tuple[Doubles, NDArray[np.bool_]]:
    """Where the feet's points are seen, (N, F, 3), m: on their rays, as deep as they are from the root; and which.

    The root is where this picture alone puts it: where it was fitted is drawn along by feet that are held.
    """
    feet = seen.joints.feet
    rays, places = seen.rays[:, feet], seen.places[:, feet]
    known = (sure[:, feet] > SURE_FEET) & np.isfinite(rays).all(-1) & np.isfinite(places).all(-1)
    root = placed(np.nan_to_num(seen.places), targets.rays, targets.ray_weights)
    depth = root[:, None, 2:] + np.nan_to_num(places[..., 2:])
    return np.concatenate([np.nan_to_num(rays) * depth, depth], axis=-1), known


def _trusted_again(before: Doubles, seen: Seen, weights: Weights) -> Doubles:
    """How far each joint is trusted, (N, J): less at once, more by and by."""
    share = 1 - np.exp(-seen.step_s / weights.returning_s)[:, None]
    return np.minimum(seen.sure, before + share * np.maximum(seen.sure - before, 0))


def _unless(going: NDArray[np.bool_], memory: Memory) -> Memory:
    """Without a velocity for people who are not `going` (N,)."""
    return Memory(memory.place, memory.velocity * going.reshape(-1, *(1,) * (memory.place.ndim - 1)))
