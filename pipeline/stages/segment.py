"""`segment`: each person's mask, 33 landmarks and 33 metric world landmarks, all people in one batch."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np

from bodystream.models.crop import Crop, crop_of_box
from bodystream.models.pose import Pose
from bodystream.pipeline.masks import HALF
from bodystream.pipeline.stages.detect import STRONG
from bodystream.pipeline.types import Floats, Frame, Image, Mask, ModelInfo, Person

# How much of a body a look has to show: little of somebody whom the detector vouches for, more of somebody who
# is only followed by their own landmarks (MediaPipe's threshold, pose_landmark_by_roi_cpu.pbtxt), most of
# somebody new and doubtful: on the Sports2D clip whole people show .99, signs, shutters and bushes under .1.
LEAST_PRESENCE = 0.5
LEAST_OF_STRONG, LEAST_OF_WEAK = 0.2, 0.9


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
        first = self._first_looks(frame.image, [person for person in people if person.next_crop is None])
        people = [p for p in people if id(p) not in first or _is_worth_a_second_look(p, first[id(p)])]
        crops = [person.next_crop or first[id(person)].next_crop for person in people]
        poses = self._net(frame.image, crops) if crops else []
        best = [_better(first.get(id(person)), pose) for person, pose in zip(people, poses, strict=True)]
        return [
            _with_pose(person, pose, frame.image)
            for person, pose in zip(people, best, strict=True)
            if pose.presence >= _least_presence(person)
        ]

    def _first_looks(self, image: Image, people: Sequence[Person]) -> dict[int, Pose]:
        """Look at people of whom only the box is known; poses by the identity of the person's record."""
        if not people:
            return {}
        poses = self._net(image, [crop_of_box(person.box) for person in people])
        return {id(person): pose for person, pose in zip(people, poses, strict=True)}


def _least_presence(person: Person) -> float:
    if person.score >= STRONG:
        return LEAST_OF_STRONG
    return LEAST_PRESENCE if person.id else LEAST_OF_WEAK


def _is_proposal(person: Person) -> bool:
    return not person.id and person.score < STRONG


def _is_worth_a_second_look(person: Person, first: Pose) -> bool:
    # What the detector is sure of gets one anyway: crouching people may show only in the better crop.
    return first.presence >= LEAST_PRESENCE or not _is_proposal(person)


def _better(first: Pose | None, second: Pose) -> Pose:
    """Return the second look, unless it has lost the person: it may, where the picture's edge cuts the body."""
    if first is None or second.presence >= LEAST_PRESENCE or second.presence >= first.presence:
        return second
    return first


def _with_pose(person: Person, pose: Pose, image: Image) -> Person:
    # Whoever comes with last frame's landmarks was not seen by the detector in this one: the box is the mask's.
    followed = person.landmarks is not None
    return replace(
        person,
        box=mask_bounds(pose, (image.shape[1], image.shape[0])) if followed else person.box,
        mask=Mask(pose.mask, pose.to_image),
        landmarks=pose.landmarks,
        world=pose.world,
        body=None,  # last frame's, as is the next
        dense=None,
        next_crop=pose.next_crop,
    )


def mask_bounds(pose: Pose, size: tuple[int, int]) -> Floats:
    """Bounding box (4,), px, of a pose's mask within an image of `size`; of its landmarks where the mask is empty."""
    inside = (pose.mask > HALF).astype(np.uint8)
    outlines, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    points = pose.landmarks[:, :2]
    if outlines:
        outline = np.concatenate(outlines)[:, 0] + 0.5  # (P, 2), centres of pixels
        points = (outline @ pose.to_image[:, :2].T + pose.to_image[:, 2]).astype(np.float32)
    return np.clip(np.concatenate([points.min(0), points.max(0)]), 0, [*size, *size]).astype(np.float32)
