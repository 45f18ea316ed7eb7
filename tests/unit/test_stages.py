"""detect, segment and track with networks whose answers are known."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from bodystream.models.crop import Crop
from bodystream.models.pose import Pose
from bodystream.pipeline.stages.detect import Detect
from bodystream.pipeline.stages.segment import Segment, mask_bounds
from bodystream.pipeline.stages.track import Track
from bodystream.pipeline.types import Dense
from tests.fakes import frame, person


class Detector:
    """Gives the boxes of the people it is told of, and counts how often it was asked."""

    def __init__(self, *people):
        self.people, self.calls = people, 0

    def __call__(self, _image):
        self.calls += 1
        boxes = np.array([p.box for p in self.people], np.float32).reshape(-1, 4)
        return boxes, np.array([p.score for p in self.people], np.float32)


def test_detector_runs_on_the_first_frame_then_every_n():
    detector = Detector(person())
    detect = Detect(detector, every=4)
    people = ()
    for i in range(9):
        people = [
            replace(p, id=1, landmarks=person().landmarks, next_crop=Crop(32, 24, 40))
            for p in detect(frame(i), people)
        ]
        assert len(people) == 1
    assert detector.calls == 3


def test_detector_runs_at_once_when_somebody_known_is_lost_and_while_nobody_is_there():
    detector = Detector(person(16), person(48))
    detect = Detect(detector, every=100)
    first = detect(frame(0), ())
    known = [replace(p, id=i + 1) for i, p in enumerate(first)]
    assert detect(frame(1), known) == known
    detect(frame(2), known[:1])
    assert detector.calls == 2
    detect(frame(3), ())
    detect(frame(4), ())
    assert detector.calls == 4


def test_confirmed_people_keep_their_id_and_crop_and_lose_last_frames_landmarks():
    known = replace(person(32), id=7)
    detect = Detect(Detector(person(34, score=0.6)), every=1)
    (found,) = detect(frame(), [known])
    assert (found.id, found.next_crop, found.landmarks) == (7, known.next_crop, None)
    assert found.score == pytest.approx(0.6)
    assert np.array_equal(found.box, person(34).box)


def test_a_crop_that_has_left_the_person_is_not_followed():
    known = replace(person(32), id=7, next_crop=Crop(60, 24, 40))
    (found,) = Detect(Detector(person(32)), every=1)(frame(), [known])
    assert (found.id, found.next_crop) == (7, None)


def test_a_weak_detection_confirms_somebody_known():
    known = replace(person(16), id=1)
    (found,) = Detect(Detector(person(16, score=0.35)), every=1)(frame(), [known])
    assert (found.id, found.landmarks) == (1, None)


def test_somebody_whom_the_detector_does_not_see_is_followed_with_doubt():
    detect = Detect(Detector(person(48)), every=1)
    people = [person(16, id=1, score=0.8)]
    for score in (0.4, 0.2, 0.1):
        people = [p for p in detect(frame(), people) if p.id]
        assert [(p.id, p.score) for p in people] == [(1, pytest.approx(score))]


def test_one_weak_detection_is_proposed_a_time_and_never_a_part_of_somebody():
    weak, weaker, strong = person(10, score=0.3), person(54, score=0.25), person(32)
    part = person(32, 20, 15, score=0.33)
    detect = Detect(Detector(strong, part, weak, weaker), every=3)
    found = detect(frame(0), ())
    assert [p.score for p in found] == pytest.approx([0.9, 0.3])
    # Nobody was confirmed: the detector runs in the next frames too, but proposes again only in the fourth.
    assert [len(detect(frame(i), ())) for i in (1, 2, 3)] == [1, 1, 2]


def test_max_people_keeps_those_already_known():
    known = replace(person(16), id=1)
    found = Detect(Detector(person(48, score=0.99), person(16)), every=1, max_people=1)(frame(), [known])
    assert [p.id for p in found] == [1]


def test_after_a_reset_the_detector_looks_again():
    detector = Detector(person())
    detect = Detect(detector, every=100)
    known = [replace(p, id=1) for p in detect(frame(0), ())]
    detect.reset()
    detect(frame(1), known)
    assert detector.calls == 2


class Net:
    """Finds a body in every crop whose centre lies inside the image; remembers the batches."""

    def __init__(self, presence=1.0):
        self.batches, self.presence = [], presence

    def __call__(self, _image, crops):
        self.batches.append(list(crops))
        return [self._pose(crop) for crop in crops]

    def _pose(self, crop):
        somebody = person(crop.x, crop.y, crop.size / 1.25)
        mask = np.full((4, 4), 255, np.uint8)
        to_image = np.array(
            [[crop.size / 4, 0, crop.x - crop.size / 2], [0, crop.size / 4, crop.y - crop.size / 2]]
        )
        return Pose(
            self.presence, somebody.landmarks, somebody.world, mask, to_image, Crop(crop.x, crop.y, 50)
        )


def test_new_people_get_two_looks_and_followed_ones_join_the_second_batch():
    net = Net()
    followed = replace(person(16), id=1, landmarks=None)
    new = person(48, pose=False)
    people = Segment(net)(frame(), [followed, new])
    assert [len(batch) for batch in net.batches] == [1, 2]
    assert net.batches[1][0] == followed.next_crop
    assert net.batches[1][1].size == 50  # the crop that the first look asked for
    assert [p.id for p in people] == [1, 0]
    assert all(p.mask is not None and p.world is not None for p in people)


def test_nobody_costs_no_look():
    net = Net()
    assert list(Segment(net)(frame(), [])) == []
    assert net.batches == []


@pytest.mark.parametrize(
    ("somebody", "presence"), [(person(pose=False), 0.1), (person(score=0.3, id=1), 0.4)]
)
def test_a_crop_without_a_body_is_dropped(somebody, presence):
    assert list(Segment(Net(presence))(frame(), [somebody])) == []


@pytest.mark.parametrize(("score", "presence", "kept"), [(0.3, 0.8, 0), (0.3, 0.95, 1), (0.6, 0.3, 1)])
def test_a_weak_detection_must_show_a_body_for_sure(score, presence, kept):
    assert len(Segment(Net(presence))(frame(), [person(score=score, pose=False)])) == kept


def test_box_is_the_masks_unless_the_detector_has_just_seen_the_person():
    (seen_now,) = Segment(Net())(frame(), [replace(person(32), landmarks=None)])
    assert np.array_equal(seen_now.box, person(32).box)
    (followed,) = Segment(Net())(frame(), [person(32)])
    side = person(
        32
    ).next_crop.size  # the fake mask fills the crop; its outline runs through its pixels' centres
    assert followed.box == pytest.approx(
        [32 - side * 3 / 8, 24 - side * 3 / 8, 32 + side * 3 / 8, 24 + side * 3 / 8]
    )


def test_box_of_an_empty_mask_is_that_of_the_landmarks():
    pose = Net()(None, [Crop(32, 24, 40)])[0]
    bounds = mask_bounds(replace(pose, mask=np.zeros((4, 4), np.uint8)), (64, 48))
    assert bounds == pytest.approx([24, 16, 40, 32])


def walk(track, paths, frames, rate=25, start=0):
    """Feed people along `paths` (id -> position at a frame, None when absent) as the other stages would."""
    seen, last = [], {}
    for i in range(start, start + frames):
        item = replace(frame(i, size=(640, 480)), pts=Fraction(i, rate))
        people = []
        for key, path in paths.items():
            where = path(i)
            if where is not None:
                people.append(replace(person(*where, 100), id=last.get(key, 0)))
        out = track(item, people)
        ids = {}
        for p in out:
            key = min(
                paths,
                key=lambda k, p=p: np.inf if paths[k](i) is None else abs(paths[k](i)[0] - p.next_crop.x),
            )
            ids[key] = p.id
        last = ids
        seen.append(ids)
    return seen


def test_ids_begin_at_one_and_stay():
    seen = walk(Track(None), {"a": lambda i: (100 + 2 * i, 200), "b": lambda i: (500 - 2 * i, 200)}, 50)
    assert seen[0] == {"a": 1, "b": 2}
    assert all(ids == seen[0] for ids in seen)


def test_somebody_who_comes_back_soon_has_the_same_id_and_later_a_new_one():
    def away(first, last):
        return lambda i: None if first <= i < last else (100 + i, 200)

    seen = walk(Track(None), {"a": away(20, 40)}, 60)
    assert seen[-1] == {"a": 1}
    seen = walk(Track(None), {"a": away(20, 90)}, 120)
    assert seen[-1] == {"a": 2}


def test_two_crops_on_one_body_leave_the_one_that_was_expected_there():
    track = Track(None)
    item = frame(0, size=(640, 480))
    a, b = track(item, [person(100, 200, 100), person(300, 200, 100)])
    item = frame(1, size=(640, 480))
    (left,) = track(item, [replace(person(299, 200, 100), id=a.id), replace(person(300, 200, 100), id=b.id)])
    assert left.id == b.id


def test_a_crop_that_jumps_to_somebody_else_gives_a_new_id():
    track = Track(None)
    (a,) = track(frame(0, size=(640, 480)), [person(100, 200, 100)])
    (b,) = track(frame(1, size=(640, 480)), [replace(person(400, 200, 100), id=a.id)])
    assert b.id != a.id


def test_reset_forgets_people_but_does_not_reuse_ids():
    track = Track(None)
    (a,) = track(frame(0), [person()])
    track.reset()
    (b,) = track(frame(1), [person()])
    assert (a.id, b.id) == (1, 2)


def test_colours_tell_two_candidates_apart():
    track = Track(None)
    image = np.zeros((480, 640, 3), np.uint8)
    image[:, :320], image[:, 320:] = (0, 0, 200), (200, 0, 0)
    red, blue = track(replace(frame(0), image=image), [person(290, 200, 100), person(350, 200, 100)])
    track(replace(frame(1), image=image), [])
    swapped = np.ascontiguousarray(image[:, ::-1])  # now blue stands on the left
    found = track(replace(frame(10), image=swapped), [person(290, 200, 100), person(350, 200, 100)])
    by_place = {round(float(p.next_crop.x)): p.id for p in found}
    assert by_place == {290: blue.id, 350: red.id}


def test_last_frames_dense_map_never_comes_out_again():
    old = Dense(
        np.ones((2, 2), np.uint8), np.zeros((2, 2, 2), np.float32), np.ones((2, 2), np.uint8), np.eye(2, 3)
    )
    known = replace(person(32), id=1, dense=old)
    for every in (1, 100):  # the detector sees the person again, or does not look
        people = [known]
        for stage in (Detect(Detector(person(32)), every=every), Segment(Net()), Track(None)):
            people = stage(frame(), people)
        assert [p.dense for p in people] == [None]
    doubted = Detect(Detector(person(60)), every=1)(frame(), [known])
    assert [p.dense for p in Segment(Net())(frame(), doubted)] == [None, None]
