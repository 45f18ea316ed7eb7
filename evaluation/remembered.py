"""Looks that are not repeated: many chains over the same frames whose landmark net is the same."""

from collections.abc import Sequence

from bodystream.models.crop import Crop
from bodystream.pipeline.types import Frame, Person, Stage

# All that a look depends on: the frame, and who is looked at where.
Key = tuple[int, tuple[tuple[int, float, bytes, Crop | None, bool], ...]]
Memory = dict[Key, tuple[Person, ...]]


class Remembered:
    """A stage without memory of its own, whose answers are kept: asked the same again, it gives the same.

    Chains that differ only behind it so share its work. `memory` is of one source and one network.
    """

    def __init__(self, stage: Stage, memory: Memory) -> None:
        self.name, self.needs, self.gives, self.models = stage.name, stage.needs, stage.gives, stage.models
        self._stage, self._memory = stage, memory

    def reset(self) -> None:
        self._stage.reset()

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]:
        """Return what the stage returns."""
        key = (frame.index, tuple(_asked(person) for person in people))
        if key not in self._memory:
            self._memory[key] = tuple(self._stage(frame, people))
        return self._memory[key]


def _asked(person: Person) -> tuple[int, float, bytes, Crop | None, bool]:
    return person.id, person.score, person.box.tobytes(), person.next_crop, person.landmarks is None
