"""Ids by boxes alone."""

from dataclasses import replace
from fractions import Fraction

import numpy as np

from bodystream.pipeline.chain import Chain
from bodystream.pipeline.matching import MEMORY_S
from bodystream.pipeline.stages.follow import Follow
from tests.fakes import Clock, FakeStage, frame, person

RATE = 25


def walk(follow, paths, frames, start=0, rate=RATE, shake=0.0):
    """Feed boxes along `paths` (place at a frame, None when absent) and return each one's id by frame."""
    random, seen = np.random.default_rng(0), []
    for i in range(start, start + frames):
        places = {key: path(i) for key, path in paths.items() if path(i) is not None}
        people = [person(*place, 100, pose=False) for place in places.values()]
        people = [replace(p, box=p.box + random.normal(0, shake, 4).astype(np.float32)) for p in people]
        order = random.permutation(len(people))  # detectors give the surest first, not the same one
        out = follow(replace(frame(i), pts=Fraction(i, rate)), [people[j] for j in order])
        assert [p.id for p in out] == sorted(p.id for p in out)
        by_box = {p.box.tobytes(): p.id for p in out}
        seen.append({key: by_box[p.box.tobytes()] for key, p in zip(places, people, strict=True)})
    return seen


def test_ids_begin_at_one_and_stay():
    seen = walk(Follow(), {"a": lambda i: (100 + 3 * i, 200), "b": lambda i: (500 - 3 * i, 210)}, 50, shake=2)
    assert sorted(seen[0].values()) == [1, 2]
    assert all(ids == seen[0] for ids in seen)


def test_people_who_cross_keep_their_ids_by_their_motion():
    # They meet between frames 15 and 16, where each one's box lies nearer to the other's last one than to their own.
    paths = {"a": lambda i: (100 + 18 * i, 200), "b": lambda i: (659 - 18 * i, 205)}
    seen = walk(Follow(), paths, 31, rate=5)
    assert all(ids == seen[0] for ids in seen)


def test_somebody_who_is_back_soon_is_known_and_later_is_somebody_new():
    def away(first, last):
        return lambda i: None if first <= i < last else (100 + 2 * i, 200)

    assert walk(Follow(), {"a": away(20, 35)}, 60)[-1] == {"a": 1}
    gone = int(MEMORY_S * RATE) + 2
    assert walk(Follow(), {"a": away(20, 20 + gone)}, 120)[-1] == {"a": 2}


def test_somebody_elsewhere_is_somebody_new():
    follow = Follow()
    (a,) = follow(frame(0), [person(100, 200, 100, pose=False)])
    (b,) = follow(frame(1), [person(300, 200, 100, pose=False)])
    assert (a.id, b.id) == (1, 2)


def test_time_that_runs_backwards_begins_afresh():
    follow = Follow()
    (a,) = follow(frame(10), [person(pose=False)])
    (b,) = follow(frame(0), [person(pose=False)])
    assert (a.id, b.id) == (1, 2)


def test_a_scene_cut_forgets_people_and_ids_are_not_used_again():
    boxes = FakeStage(lambda _frame, _people: [person(pose=False)], gives=frozenset({"box"}))
    chain = Chain([boxes, Follow()], Clock())
    random = np.random.default_rng(0)
    first, second = (random.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(2))
    ids = []
    for i, image in enumerate([first, first, second]):
        (found,), _, _ = chain(replace(frame(i), image=image))
        ids.append(found.id)
    assert ids == [1, 1, 2]


def test_nobody():
    assert list(Follow()(frame(), [])) == []
