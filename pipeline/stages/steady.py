"""`steady`: keypoints in the picture and in space steadied over time, for chains without `track`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from bodystream.models.vnect import crop_of
from bodystream.pipeline.filters import Filtered, Preset, one_euro
from bodystream.pipeline.matching import MEMORY_S
from bodystream.pipeline.types import Floats, Frame, ModelInfo, Person


@dataclass(slots=True)
class _Track:
    """What is remembered of one person."""

    pts: Fraction
    landmarks: Filtered | None = None
    world: Filtered | None = None


class Steady:
    """Gives `landmarks` anew, and `world` to those who have it: one-euro filters on media time, by `preset`.

    Speeds in the picture are counted in sides of VNect's crop round the person's box.
    """

    name = "steady"
    needs = frozenset({"id", "box", "landmarks"})
    gives = frozenset({"landmarks"})
    models: tuple[ModelInfo, ...] = ()

    def __init__(self, preset: Preset) -> None:
        self._preset = preset
        self.reset()

    def reset(self) -> None:
        """Forget everybody."""
        self._tracks: dict[int, _Track] = {}

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]:
        """Return all people, in order."""
        self._tracks = {i: t for i, t in self._tracks.items() if 0 <= frame.pts - t.pts <= MEMORY_S}
        return [self._steadied(person, frame.pts) for person in people]

    def _steadied(self, person: Person, pts: Fraction) -> Person:
        if person.landmarks is None:
            return person
        track = self._tracks.setdefault(person.id, _Track(pts))
        track.pts = pts
        size = crop_of(person.box).size
        track.landmarks = one_euro(
            track.landmarks, person.landmarks[:, :2], pts, self._preset.landmarks, size
        )
        world = person.world
        if world is not None:
            track.world = one_euro(track.world, world[:, :3], pts, self._preset.world)
            world = _beside(track.world, world[:, 3:])
        return replace(person, landmarks=_beside(track.landmarks, person.landmarks[:, 2:]), world=world)


def _beside(filtered: Filtered, confidence: Floats) -> Floats:
    return np.concatenate([filtered.value, confidence], axis=1)
