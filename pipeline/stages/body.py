"""`body`: everybody's bone lengths over time, and the body surface's skeleton posed to the landmarks."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from bodystream.models.body.pose import pose_body
from bodystream.models.body.skeleton import bone_lengths
from bodystream.pipeline.matching import MEMORY_S
from bodystream.pipeline.types import Floats, Frame, ModelInfo, Person

# A person's bones are the medians over their last views: the landmark net's grow and shrink with the pose.
VIEWS = 120


@dataclass(slots=True)
class _Bones:
    """What is remembered of one person."""

    pts: Fraction
    views: deque[Floats] = field(default_factory=lambda: deque(maxlen=VIEWS))  # lengths (7,), m


class PoseBody:
    """Gives `body`: in closed form, with the person's proportions over time. None of landmarks that are no numbers."""

    name = "body"
    needs = frozenset({"id", "landmarks", "world"})
    gives = frozenset({"body"})
    models: tuple[ModelInfo, ...] = ()

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everybody's proportions."""
        self._bones: dict[int, _Bones] = {}

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]:
        """Return all people, in order."""
        self._bones = {i: seen for i, seen in self._bones.items() if 0 <= frame.pts - seen.pts <= MEMORY_S}
        return [self._posed(person, frame.pts) for person in people]

    def _posed(self, person: Person, pts: Fraction) -> Person:
        assert person.landmarks is not None and person.world is not None  # `needs` says so
        seen = self._bones.setdefault(person.id, _Bones(pts))
        seen.pts = pts
        lengths = bone_lengths(person.world[:, :3], person.landmarks[:, 2])
        if np.isfinite(lengths).all():
            seen.views.append(lengths)
        bones = np.median(np.stack(seen.views), axis=0).astype(np.float32) if seen.views else lengths
        return replace(person, body=pose_body(person.landmarks, person.world, bones))
