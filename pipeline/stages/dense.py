"""`dense`: which point of the body surface every pixel of a person shows."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

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
        views = [_view(person) for person in people]
        seen = [(p, v) for p, v in zip(people, views, strict=True) if p.body is not None and v is not None]
        baselines = [baseline_of(p.body, v) for p, v in seen if p.body is not None]
        maps = iter(_baseline_maps(seen, baselines) if self._net is None else self._net_maps(seen, baselines))
        known = {id(person) for person, _ in seen}
        return [replace(p, dense=next(maps) if id(p) in known else None) for p in people]

    def _net_maps(self, seen: Sequence[tuple[Person, View]], baselines: Sequence[Baseline]) -> list[Dense]:
        if not seen or self._net is None:
            return []
        inputs = [
            net_input(view.mask, baseline, points_in_grid(person.body, view))
            for (person, view), baseline in zip(seen, baselines, strict=True)
            if person.body is not None
        ]
        maps = zip(*self._net(np.stack(inputs)), strict=True)
        return [
            _map(view, part, uv, confidence)
            for (_, view), (part, uv, confidence) in zip(seen, maps, strict=True)
        ]


def _view(person: Person) -> View | None:
    if person.mask is None or person.landmarks is None:
        return None
    return view_of(person.mask.probability, person.mask.to_image, person.landmarks)


def _baseline_maps(seen: Sequence[tuple[Person, View]], baselines: Sequence[Baseline]) -> list[Dense]:
    maps = []
    for (_, view), baseline in zip(seen, baselines, strict=True):
        sure = 255 * BASELINE_SURE * np.exp(-baseline.distance / BASELINE_FADES_PX)
        maps.append(_map(view, baseline.part, baseline.uv, sure.astype(np.uint8)))
    return maps


def _map(view: View, part: NDArray[np.uint8], uv: Floats, confidence: NDArray[np.uint8]) -> Dense:
    outside = cv2.dilate((view.mask > HALF).astype(np.uint8), RIM) == 0
    part = part.copy()
    part[outside] = 0
    return Dense(part, uv, confidence, view.to_image)
