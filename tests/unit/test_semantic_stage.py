"""One mask of all persons, shared out."""

from dataclasses import replace

import numpy as np

from bodystream.models.keypoints import COCO_KEYPOINTS, layout_of
from bodystream.models.semantic import SemanticNet
from bodystream.pipeline.stages.semantic import SemanticMasks, shared_out
from bodystream.pipeline.types import Result
from tests.fakes import frame, person

SIZE = (64, 48)


class Picture:
    """A session that takes white for a person."""

    def __init__(self):
        self.seen = []

    def __call__(self, canvas):
        self.seen.append(canvas)
        return (canvas[..., 0],)


def scene(*rectangles, size=SIZE):
    """A frame in which rectangles (x0, y0, x1, y1) are white."""
    item = frame(size=size)
    for x0, y0, x1, y1 in rectangles:
        item.image[y0:y1, x0:x1] = 255
    return item


def pasted(people, size=SIZE, keypoints=None):
    result = Result(0, 0, size, tuple(people), **({} if keypoints is None else {"keypoints": keypoints}))
    images = []
    for silhouette in result.silhouettes:
        image = np.zeros(size[::-1], bool)
        if silhouette is not None:
            h, w = silhouette.inside.shape
            image[silhouette.y : silhouette.y + h, silhouette.x : silhouette.x + w] = silhouette.inside
        images.append(image)
    return images


def test_the_picture_comes_scaled_into_the_canvas_and_back():
    session = Picture()
    net = SemanticNet(session, (128, 128))
    probability, to_image = net(scene((10, 8, 20, 40)).image)
    assert session.seen[0].shape == (1, 128, 128, 3)
    assert not session.seen[0][0, 96:].any()
    assert probability.shape == (96, 128)
    np.testing.assert_array_equal(to_image, [[0.5, 0, 0], [0, 0.5, 0]])
    assert probability[16:80, 20:40].min() > 127 and probability[:, :19].max() < 127


def test_one_person_gets_what_is_in_their_box_and_a_little_beyond():
    somebody = replace(person(15, 24, 32, id=1), box=np.array([10, 8, 20, 40], np.float32), landmarks=None)
    stage = SemanticMasks(SemanticNet(Picture(), SIZE))
    (found,) = stage(scene((9, 6, 21, 42), (40, 8, 50, 40)), [somebody])
    (image,) = pasted([found])
    expected = np.zeros((48, 64), bool)
    expected[6:42, 9:21] = True  # the margin reaches them; the other one was not found, and is nobody's
    np.testing.assert_array_equal(image, expected)
    assert found.id == 1


def test_two_people_who_touch_are_parted_between_their_skeletons():
    people = [person(20, 24, id=1), person(36, 24, id=2)]
    boxes = [np.array([10, 4, 40, 44], np.float32), np.array([16, 4, 46, 44], np.float32)]
    people = [replace(p, box=box) for p, box in zip(people, boxes, strict=True)]
    stage = SemanticMasks(SemanticNet(Picture(), SIZE))
    a, b = pasted(stage(scene((10, 4, 46, 44)), people))
    assert not (a & b).any()
    union = np.zeros((48, 64), bool)
    union[4:44, 10:46] = True
    assert (union & ~(a | b)).sum() <= 40  # a seam of a pixel at the most
    assert a[24, 10:26].all() and b[24, 31:46].all()


def test_by_the_skeleton_of_other_keypoints():
    layout = layout_of(COCO_KEYPOINTS)
    xs = np.array([20.0] * 17)
    landmarks = np.stack([xs, np.linspace(8, 40, 17), np.ones(17)], axis=1).astype(np.float32)
    box = np.array([10, 4, 50, 44], np.float32)
    left = replace(person(id=1), box=box, landmarks=landmarks)
    right = replace(person(id=2), box=box, landmarks=landmarks + np.array([20, 0, 0], np.float32))
    stage = SemanticMasks(SemanticNet(Picture(), SIZE), edges=layout.edges)
    a, b = pasted(stage(scene((10, 4, 50, 44)), [left, right]), keypoints=COCO_KEYPOINTS)
    assert a[24, 11:28].all() and b[24, 33:49].all() and not (a & b).any()


def test_nobody_costs_nothing_and_somebody_outside_gets_none():
    session = Picture()
    stage = SemanticMasks(SemanticNet(session, SIZE))
    assert list(stage(scene(), [])) == [] and not session.seen
    outside = replace(person(), box=np.array([100, 5, 120, 20], np.float32), landmarks=None)
    assert shared_out(np.zeros((48, 64), np.uint8), np.eye(2, 3), [outside]) == [None]
