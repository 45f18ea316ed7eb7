"""`lift`: the landmark net's depths mended, by what bodies and their motion are like."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bodystream.pipeline.lens import Lens
from bodystream.pipeline.types import Floats, Frame, ModelInfo, Person

# rays (N, 33, 2), confidences (N, 33) and world (N, 33, 3) in; world (N, 33, 3) out
Net = Callable[[Floats, Floats, Floats], Floats]


class Lift:
    """Gives `world` anew: m, hip-centred, in the axes of the lens' camera; confidences stay.

    `net` mends all people in one batch. Somebody of whom a landmark is no number keeps what they have.
    """

    name = "lift"
    needs = frozenset({"id", "landmarks", "world"})
    gives = frozenset({"world"})

    def __init__(self, net: Net, lens: Lens, models: tuple[ModelInfo, ...] = ()) -> None:
        self.models = models
        self._net, self._lens = net, lens

    def reset(self) -> None:
        """Nothing is kept from frame to frame."""

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]:
        """Return all people, in order."""
        known = [i for i, person in enumerate(people) if _is_known(person)]
        if not known:
            return people
        landmarks, world = (
            np.stack([getattr(people[i], name) for i in known]) for name in ("landmarks", "world")
        )
        height, width = frame.image.shape[:2]
        rays = self._lens.of((width, height)).straight(landmarks[..., :2].reshape(-1, 2))
        mended = self._net(
            rays.reshape(*landmarks.shape[:2], 2).astype(np.float32), landmarks[..., 2], world[..., :3]
        )
        out = list(people)
        for i, points in zip(known, mended, strict=True):
            sure = out[i].world[:, 3:]  # type: ignore[index]
            out[i] = replace(out[i], world=np.concatenate([points, sure], axis=1))
        return out


def _is_known(person: Person) -> bool:
    return bool(
        person.landmarks is not None
        and person.world is not None
        and np.isfinite(person.landmarks).all()
        and np.isfinite(person.world).all()
    )
