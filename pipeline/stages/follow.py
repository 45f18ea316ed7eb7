"""`follow`: who is who over time by boxes alone, for chains whose detector looks at every frame.

After SORT (Bewley et al., Simple Online and Realtime Tracking, ICIP 2016): where constant velocity leads to is
compared with what is there by intersection over union. Instead of a Kalman filter its gains once settled are used.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from bodystream.models.boxes import pairwise_iou
from bodystream.pipeline.matching import MEMORY_S, match
from bodystream.pipeline.types import Floats, Frame, ModelInfo, Person

LEAST_IOU = 0.3  # SORT's IoU_min (the authors' code, github.com/abewley/sort)
# Of a surprise, what counts for the velocity: a detector's edges shake by a few px a frame.
VELOCITY_GAIN = 0.3
COASTING_S = 1.0  # a lost person is not expected to walk on for ever


@dataclass(slots=True)
class _Track:
    """What is remembered of one person."""

    id: int
    pts: Fraction
    box: Floats  # (4,), px, as last seen
    velocity: Floats  # (2,), px/s, of its centre

    def expected(self, pts: Fraction) -> Floats:
        """Where the box should be now: (4,)."""
        return self.box + np.tile(self.velocity * np.float32(min(float(pts - self.pts), COASTING_S)), 2)


class Follow:
    """Gives `id`; somebody who is lost and back within MEMORY_S where they are expected keeps theirs."""

    name = "follow"
    needs = frozenset({"box"})
    gives = frozenset({"id"})
    models: tuple[ModelInfo, ...] = ()

    def __init__(self) -> None:
        self._next_id = 1
        self.reset()

    def reset(self) -> None:
        """Forget everybody; ids go on counting."""
        self._tracks: list[_Track] = []

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]:
        """Return the people with ids, by id."""
        self._tracks = [track for track in self._tracks if 0 <= frame.pts - track.pts <= MEMORY_S]
        expected = np.array([track.expected(frame.pts) for track in self._tracks], np.float32).reshape(-1, 4)
        boxes = np.array([person.box for person in people], np.float32).reshape(-1, 4)
        known = {j: self._tracks[i] for i, j in match(pairwise_iou(expected, boxes), LEAST_IOU)}
        ids = [
            self._updated(known[j], person, frame.pts) if j in known else self._begun(person, frame.pts)
            for j, person in enumerate(people)
        ]
        out = [replace(person, id=i) for person, i in zip(people, ids, strict=True)]
        return sorted(out, key=lambda person: person.id)

    def _begun(self, person: Person, pts: Fraction) -> int:
        number, self._next_id = self._next_id, self._next_id + 1
        self._tracks.append(_Track(number, pts, person.box, np.zeros(2, np.float32)))
        return number

    def _updated(self, track: _Track, person: Person, pts: Fraction) -> int:
        if pts > track.pts:
            surprise = _centre(person.box) - _centre(track.expected(pts))
            track.velocity = track.velocity + np.float32(VELOCITY_GAIN / float(pts - track.pts)) * surprise
        track.box, track.pts = person.box, pts
        return track.id


def _centre(box: Floats) -> Floats:
    return np.asarray((box[:2] + box[2:]) / 2, np.float32)
