"""`detect`: who is in the picture. It looks when it has to; in between, landmarks lead on."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bodystream.models.boxes import pairwise_iou
from bodystream.models.crop import Crop
from bodystream.pipeline.matching import match, share_inside
from bodystream.pipeline.types import Floats, Frame, Image, ModelInfo, Person

SAME_PERSON_IOU = 0.3  # a walker of 30 px moves a third of a box width between two frames at 10 fps
# A detection this strong is a new person. A weaker one is a proposal that the landmark net has to confirm:
# on the Sports2D clip a man against the sun scores .2 to .3, and so does a street sign.
STRONG = 0.35
# A proposal that lies so far inside somebody's box is a part of that person.
PART = 0.7
# The crop that follows the landmarks is kept unless it has left the detected person.
CROP_OFFSET, CROP_RATIO = 0.35, 1.8


class Detect:
    """Gives `box` and `score`: of people already known, and of new ones.

    `detector` takes an image and returns boxes (N, 4) and scores (N,), best first. It runs when nobody is
    known, when somebody known was lost in the last frame, and every `every` frames; only then a weak
    detection is proposed too, one at a time, since most are not people and each costs two looks. People it
    confirms come out without last frame's landmarks: the next stage knows their box to be of this frame.
    """

    name = "detect"
    needs: frozenset[str] = frozenset()
    gives = frozenset({"box", "score"})

    def __init__(
        self,
        detector: Callable[[Image], tuple[Floats, Floats]],
        models: tuple[ModelInfo, ...] = (),
        every: int = 10,
        max_people: int = 20,
    ) -> None:
        self.models = models
        self._detector, self._every, self._max_people = detector, every, max_people
        self.reset()

    def reset(self) -> None:
        """Forget who was there: the next frame is looked at afresh."""
        self._known: frozenset[int] = frozenset()
        self._frames_since_run = self._frames_since_proposal = self._every

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]:
        """Return the people to look at in this frame; `people` are those of the last one."""
        now_known = frozenset(person.id for person in people)
        lost, self._known = self._known - now_known, now_known
        self._frames_since_run += 1
        self._frames_since_proposal += 1
        if people and not lost and self._frames_since_run < self._every:
            return people
        self._frames_since_run = 0
        boxes, scores = self._detector(frame.image)
        kept, free = _confirm(people, boxes, scores)
        new = [Person(boxes[i], float(scores[i])) for i in free if scores[i] >= STRONG]
        return [*kept, *new, *self._proposed([*kept, *new], boxes, scores, free)][: self._max_people]

    def _proposed(
        self, people: Sequence[Person], boxes: Floats, scores: Floats, free: Sequence[int]
    ) -> list[Person]:
        """Return at most one weak detection, the best that is not a part of somebody."""
        if self._frames_since_proposal < self._every:
            return []
        self._frames_since_proposal = 0
        inside = share_inside(boxes, _boxes(people)).max(axis=1, initial=0)
        weak = [Person(boxes[i], float(scores[i])) for i in free if scores[i] < STRONG and inside[i] < PART]
        return weak[:1]


def _confirm(people: Sequence[Person], boxes: Floats, scores: Floats) -> tuple[list[Person], list[int]]:
    """Return the people, each with the detector's box where it has one, and which boxes are left."""
    box_of = dict(match(pairwise_iou(_boxes(people), boxes), SAME_PERSON_IOU))
    kept = [
        _refreshed(person, boxes[box_of[i]], float(scores[box_of[i]])) if i in box_of else _doubted(person)
        for i, person in enumerate(people)
    ]
    taken = set(box_of.values())
    return kept, [i for i in range(len(boxes)) if i not in taken]


def _refreshed(person: Person, box: Floats, score: float) -> Person:
    crop = person.next_crop
    if crop is not None and _has_left(crop, box):
        crop = None
    seen = replace(person, box=box, score=score, next_crop=crop)
    return replace(seen, mask=None, landmarks=None, world=None, body=None, dense=None)


def _doubted(person: Person) -> Person:
    # Followed on, but the next stage will want to see more of a body than of somebody the detector vouches for.
    return replace(person, score=person.score / 2)


def _has_left(crop: Crop, box: Floats) -> bool:
    """Whether a crop no longer fits the person in `box`.

    A crop holds the whole body with a margin: 1.25 to 1.5 box sides for a standing person, more for one who
    is cut by the picture's edge, whose box is only what can be seen.
    """
    side = float(max(box[2] - box[0], box[3] - box[1], 1.0))
    offset = float(np.hypot(crop.x - (box[0] + box[2]) / 2, crop.y - (box[1] + box[3]) / 2))
    return (
        offset > CROP_OFFSET * crop.size or side > CROP_RATIO * crop.size or crop.size > 2 * CROP_RATIO * side
    )


def _boxes(people: Sequence[Person]) -> Floats:
    return np.array([person.box for person in people], np.float32).reshape(-1, 4)
