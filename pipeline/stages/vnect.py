"""`vnect`: 21 joints of everybody, in the picture and in space, all people in one batch."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bodystream.pipeline.types import Floats, Frame, Image, ModelInfo, Person


class Vnect:
    """Gives `landmarks` and `world`, of keypoints.VNECT_KEYPOINTS; metres are a person's of the net's one height.

    `net` takes an image and boxes (N, 4), and returns joints (N, 21, 3), px and confidence, and (N, 21, 4), m and
    confidence: `models.vnect.VnectNet`.
    """

    name = "vnect"
    needs = frozenset({"box"})
    gives = frozenset({"landmarks", "world"})

    def __init__(
        self, net: Callable[[Image, Floats], tuple[Floats, Floats]], models: tuple[ModelInfo, ...] = ()
    ) -> None:
        self.models = models
        self._net = net

    def reset(self) -> None:
        """Nothing is kept from frame to frame."""

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]:
        """Return all people, in order."""
        if not people:
            return people
        landmarks, world = self._net(frame.image, np.stack([person.box for person in people]))
        return [replace(person, landmarks=landmarks[i], world=world[i]) for i, person in enumerate(people)]
