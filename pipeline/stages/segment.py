"""`segment`: each person's mask, 33 landmarks and 33 metric world landmarks, all people in one batch."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bodystream.models.crop import Crop, crop_of_box
from bodystream.models.pose import Pose
from bodystream.pipeline.types import Floats, Frame, Image, Mask, ModelInfo, Person

LEAST_PRESENCE = 0.5  # MediaPipe, pose_landmark_by_roi_cpu.pbtxt: under it there is no pose in the crop


class Segment:
    """Gives `mask`, `landmarks`, `world` and `next_crop`; drops people whose crop holds no body.

    `net` takes an image and crops, and returns a pose for each. A person who comes straight from the detector
    is looked at twice: the first look, through a crop round the box, finds the crop of the second.
    """

    name = "segment"
    needs = frozenset({"box", "score"})
    gives = frozenset({"mask", "landmarks", "world", "next_crop"})

    def __init__(
        self, net: Callable[[Image, Sequence[Crop]], Sequence[Pose]], models: tuple[ModelInfo, ...] = ()
    ) -> None:
        self.models = models
        self._net = net

    def reset(self) -> None:
        """Nothing is kept from frame to frame."""

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]:
        """Return the people whose body is found."""
        if not people:
            return ()
        crops = [person.next_crop for person in people]
        fresh = [i for i, crop in enumerate(crops) if crop is None]
        first_looks = self._net(frame.image, [crop_of_box(people[i].box) for i in fresh]) if fresh else ()
        for i, look in zip(fresh, first_looks, strict=True):
            crops[i] = look.next_crop
        poses = self._net(frame.image, [crop for crop in crops if crop is not None])
        return [
            _with_pose(person, pose)
            for person, pose in zip(people, poses, strict=True)
            if pose.presence >= LEAST_PRESENCE
        ]


def _with_pose(person: Person, pose: Pose) -> Person:
    return replace(
        person,
        box=_box(person, pose),
        mask=Mask(pose.mask, pose.to_image),
        landmarks=pose.landmarks,
        world=pose.world,
        next_crop=pose.next_crop,
    )


def _box(person: Person, pose: Pose) -> Floats:
    if person.landmarks is None or person.next_crop is None:
        return person.box  # straight from the detector
    return moved_box(person.box, person.next_crop, pose.next_crop)


def moved_box(box: Floats, before: Crop, after: Crop) -> Floats:
    """Move and scale a box (4,), px, as the body's own crop moved from one frame to the next."""
    old, new = np.array([before.x, before.y] * 2), np.array([after.x, after.y] * 2)
    return (new + (box - old) * (after.size / before.size)).astype(np.float32)
