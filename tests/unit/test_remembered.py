"""Looks are shared only where all that they depend on is the same."""

from dataclasses import replace
from fractions import Fraction

import numpy as np

from bodystream.evaluation.remembered import Remembered
from bodystream.models.crop import Crop
from bodystream.pipeline.types import Frame, Person

PERSON = Person(np.array([1, 2, 3, 4], np.float32), 0.5, 1, next_crop=Crop(1.0, 2.0, 3.0, 0.0))


class Look:
    name, needs, gives, models = "segment", frozenset({"box"}), frozenset({"mask"}), ()

    def __init__(self) -> None:
        self.looks = 0

    def reset(self) -> None: ...

    def __call__(self, frame, people):
        self.looks += 1
        return [replace(person, score=person.score + frame.index) for person in people]


def frame(index: int) -> Frame:
    return Frame(index, Fraction(index), 0, np.zeros((2, 2, 3), np.uint8), "test")


def test_the_same_question_is_asked_once():
    first, second, memory = Look(), Look(), {}
    answers = [Remembered(look, memory)(frame(3), [PERSON]) for look in (first, second)]
    assert (first.looks, second.looks) == (1, 0)
    assert answers[0] == answers[1]
    assert answers[0][0].score == 3.5


def test_any_other_question_is_asked_anew():
    look = Look()
    remembered = Remembered(look, {})
    others = [
        replace(PERSON, id=2),
        replace(PERSON, score=0.6),
        replace(PERSON, box=PERSON.box + 1),
        replace(PERSON, next_crop=None),
        replace(PERSON, landmarks=np.zeros((33, 3), np.float32)),
    ]
    for people in ([PERSON], [], [PERSON, PERSON], *([other] for other in others)):
        remembered(frame(0), people)
    remembered(frame(1), [PERSON])
    assert look.looks == 9
