"""`detect`: who is in the picture. It looks when it has to; in between, landmarks lead on."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bodystream.pipeline.matching import iou, match
from bodystream.pipeline.types import Floats, Frame, Image, ModelInfo, Person

SAME_PERSON_IOU = 0.3  # a walker of 30 px moves a third of a box width between two frames at 10 fps
NEW_PERSON_SCORE = 0.45  # a weak detection may confirm somebody known, but not bring in somebody new
MISSES = 3  # detector runs in a row without a box: the landmark net is following furniture
# The crop that follows the landmarks is kept unless it has left the detected person.
CROP_OFFSET, CROP_RATIO = 0.35, 1.8  # of the box's longer side


class Detect:
    """Gives `box` and `score`: of people already known, and of new ones.

    `detector` takes an image and returns boxes (N, 4) and scores (N,). It runs when nobody is known, when
    somebody known was lost in the last frame, and every `every` frames. People it confirms come out
    without last frame's landmarks, so that the next stage knows the box to be of this very frame.
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
        self._misses: dict[int, int] = {}
        self._frames_since = self._every

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]:
        """Return the people to look at in this frame; `people` are those of the last one."""
        now_known = frozenset(person.id for person in people)
        lost, self._known = self._known - now_known, now_known
        self._frames_since += 1
        if people and not lost and self._frames_since < self._every:
            return people
        self._frames_since = 0
        boxes, scores = self._detector(frame.image)
        kept, taken = self._confirm(people, boxes, scores)
        strong = [i for i in range(len(boxes)) if i not in taken and scores[i] >= NEW_PERSON_SCORE]
        new = [Person(boxes[i], float(scores[i])) for i in strong]
        return (kept + new)[: self._max_people]

    def _confirm(
        self, people: Sequence[Person], boxes: Floats, scores: Floats
    ) -> tuple[list[Person], set[int]]:
        """People still there, each with the detector's box where it has one; and which boxes they took."""
        known = np.array([person.box for person in people], np.float32).reshape(-1, 4)
        box_of = dict(match(iou(known, boxes), SAME_PERSON_IOU))
        kept = []
        misses: dict[int, int] = {}
        for i, person in enumerate(people):
            if i in box_of:
                kept.append(_refreshed(person, boxes[box_of[i]], float(scores[box_of[i]])))
            elif self._misses.get(person.id, 0) + 1 < MISSES:
                misses[person.id] = self._misses.get(person.id, 0) + 1
                kept.append(person)
        self._misses = misses
        return kept, set(box_of.values())


def _refreshed(person: Person, box: Floats, score: float) -> Person:
    crop = person.next_crop
    if crop is not None:
        side = float(max(box[2] - box[0], box[3] - box[1], 1.0))
        offset = float(np.hypot(crop.x - (box[0] + box[2]) / 2, crop.y - (box[1] + box[3]) / 2))
        # A crop holds the whole body with a margin: about 1.25 to 1.5 box sides for a standing person, more
        # for one who is cut by the picture's edge, whose box is only what can be seen.
        if (
            offset > CROP_OFFSET * crop.size
            or side > CROP_RATIO * crop.size
            or crop.size > 2 * CROP_RATIO * side
        ):
            crop = None
    return replace(person, box=box, score=score, mask=None, landmarks=None, world=None, next_crop=crop)
