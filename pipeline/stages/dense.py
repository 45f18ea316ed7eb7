"""`dense`: which point of the body surface every pixel of a person shows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.pose import Body
from bodystream.models.dense_input import (
    HALF,
    Baseline,
    View,
    baseline_of,
    net_input,
    points_in_grid,
    view_of,
    warm,
)
from bodystream.pipeline.types import Dense, Floats, Frame, ModelInfo, Person

# (N, 48, 64, 64) in; part uint8 (N, 128, 128), uv float32 (N, 2, 128, 128), confidence uint8 (N, 128, 128) out
Net = Callable[[Floats], tuple[NDArray[np.uint8], Floats, NDArray[np.uint8]]]

RIM = np.ones(
    (3, 3), np.uint8
)  # the map reaches a pixel beyond the mask, so that pasting has values at its rim
# The baseline's confidence is the share of right parts on held-out synthetic people at a distance, grid px, from
# where the body was rendered: .70 there, .57 at six pixels, .50 at twelve (docs/dense-s.md).
BASELINE_SURE, BASELINE_FADES_PX = 0.70, 36.0


class DenseCorrespondence:
    """Gives `dense`, to people who have a posed body and a mask that is not empty.

    The posed body, rendered and filled within the mask, is the baseline; `net` corrects it. None leaves it so.
    """

    name = "dense"
    needs = frozenset({"mask", "landmarks", "body"})
    gives = frozenset({"dense"})

    def __init__(self, net: Net | None = None, models: tuple[ModelInfo, ...] = ()) -> None:
        self.models = models
        self._net = net
        warm()

    def reset(self) -> None:
        """Nothing is kept from frame to frame."""

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]:  # noqa: ARG002 - the protocol's
        """Return all people, in order."""
        seen = {i: one for i, person in enumerate(people) if (one := _seen(person)) is not None}
        maps = dict(zip(seen, self._maps(list(seen.values())), strict=True))
        return [replace(person, dense=maps.get(i)) for i, person in enumerate(people)]

    def _maps(self, seen: Sequence["_Seen"]) -> list[Dense]:
        if self._net is None:
            return [_map(one.view, one.baseline.part, one.baseline.uv, _sure(one.baseline)) for one in seen]
        if not seen:
            return []
        inputs = [net_input(one.view.mask, one.baseline, points_in_grid(one.body, one.view)) for one in seen]
        answers = zip(*self._net(np.stack(inputs)), strict=True)
        return [_map(one.view, *answer) for one, answer in zip(seen, answers, strict=True)]


@dataclass(frozen=True, slots=True)
class _Seen:
    """One person in the grid."""

    body: Body
    view: View
    baseline: Baseline


def _seen(person: Person) -> _Seen | None:
    if person.mask is None or person.landmarks is None or person.body is None:
        return None
    view = view_of(person.mask.probability, person.mask.to_image, person.landmarks)
    return None if view is None else _Seen(person.body, view, baseline_of(person.body, view))


def _sure(baseline: Baseline) -> NDArray[np.uint8]:
    """The baseline's confidence, 0..255 for 0..1: (128, 128)."""
    sure = 255 * BASELINE_SURE * np.exp(-baseline.distance / BASELINE_FADES_PX)
    return np.asarray(sure.astype(np.uint8))


def _map(view: View, part: NDArray[np.uint8], uv: Floats, confidence: NDArray[np.uint8]) -> Dense:
    outside = cv2.dilate((view.mask > HALF).astype(np.uint8), RIM) == 0
    part = part.copy()
    part[outside] = 0
    return Dense(part, uv, confidence, view.to_image)
