"""What lies between the networks of an R-CNN: by hand, and as torch does it."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bodystream.errors import UsageError
from bodystream.models.nets.rcnn.boxes import nms_within
from bodystream.models.nets.rcnn.rpn import proposals as eager_proposals
from bodystream.models.rcnn import (
    Shape,
    conventions,
    detections,
    keypoints_of,
    padded,
    proposals,
    scaled,
    to_picture,
    to_picture_from_map,
)
from tests.rcnn import CONVENTIONS

CONV = replace(CONVENTIONS, proposals=4, people=2, person=1, short_side=800, long_side=1333)


def floats(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_conventions_travel_as_metadata():
    metadata = json.loads(json.dumps({"conventions": CONV.text()}))
    assert conventions(metadata) == CONV
    assert set(json.loads(metadata["conventions"])) == set(asdict(CONV))


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((470, 640, 100, 5), "a network size of 640x470: expected multiples of 32 px from 64 on"),
        ((32, 640, 100, 5), "a network size of 640x32: expected multiples of 32 px from 64 on"),
        ((480, 640, 0, 5), "0 proposals and 5 people: expected 1 or more of each"),
        ((480, 640, 100, 0), "100 proposals and 0 people: expected 1 or more of each"),
    ],
)
def test_shapes_that_no_network_has(shape: tuple[int, int, int, int], told: str):
    with pytest.raises(UsageError, match=told):
        Shape(*shape)


# -- the picture


@pytest.mark.parametrize(
    ("picture", "conv", "size", "scale"),
    [
        ((64, 96), CONV, [64, 96], [1, 1]),
        ((128, 192), CONV, [64, 96], [0.5, 0.5]),
        ((90, 180), CONV, [48, 96], [96 / 180, 48 / 90]),  # wide: black below
        ((320, 64), CONV, [64, 12], [12 / 64, 64 / 320]),  # 12.8 columns are cut to 12
        ((40, 40), replace(CONV, short_side=20), [20, 20], [0.5, 0.5]),  # no larger than in training
        ((40, 80), replace(CONV, short_side=40, long_side=60), [30, 60], [0.75, 0.75]),
        ((1, 960), CONV, [1, 96], [0.1, 1]),  # a row stays
    ],
)
def test_a_picture_fills_the_canvas_as_far_as_it_goes(picture, conv, size, scale):
    canvas, found, by = scaled(np.full((*picture, 3), 200, np.uint8), conv)
    assert canvas.shape == (1, 64, 96, 3)
    assert found.tolist() == size
    np.testing.assert_allclose(by, scale, rtol=1e-6)
    rows, columns = size
    assert (canvas[0, :rows, :columns] == 200).all()
    assert not canvas[0, rows:].any() and not canvas[0, :, columns:].any()


def test_boxes_and_maps_go_back_into_the_picture():
    scale = np.array([0.5, 0.25], np.float32)
    box = np.array([10, 20, 30, 60], np.float32)
    assert to_picture(box, scale).tolist() == [20, 80, 60, 240]
    to_image = to_picture_from_map(box, 28, scale)
    corners = to_image @ np.array([[0, 0, 1], [28, 28, 1], [14, 7, 1]]).T
    np.testing.assert_allclose(corners.T, [[20, 80], [60, 240], [40, 120]])


# -- boxes


def test_a_level_suppresses_its_own_and_the_rest_is_zeros():
    boxes = floats([0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 9], [20, 20, 30, 30])
    found = proposals(boxes, floats([1, 2, 3, 0])[0], np.array([0, 0, 1, 1]), CONV)
    # Of the two on level 0 the second is better; its twin on level 1 stays, and is the best of all.
    assert found.tolist() == [[0, 0, 10, 9], [0, 0, 10, 9], [20, 20, 30, 30], [0, 0, 0, 0]]
    assert found.dtype == np.float32


def test_no_more_proposals_than_are_wanted_and_none_without_an_area():
    boxes = floats(*([10.0 * k, 0, 10 * k + 5, 5] for k in range(6)), [7, 7, 7, 9], [1, 1, 2, 1.0005])
    logits = np.arange(8, dtype=np.float32)
    found = proposals(boxes, logits, np.zeros(8, np.int64), CONV)
    assert found[:, 0].tolist() == [50, 40, 30, 20]
    nothing = proposals(boxes[:0], logits[:0], np.zeros(0, np.int64), CONV)
    assert not nothing.any()
    assert nothing.shape == (4, 4)


def test_people_are_those_that_are_sure_and_do_not_overlap():
    scores = floats([0.9, 0.5, 0], [0.9, 0.8, 0], [0, 0.7, 0], [0, 0.05, 0], [0.9, 0.9, 0])
    person = floats([0, 0, 10, 10], [0, 0, 10, 8], [50, 0, 60, 10], [70, 0, 80, 10], [0, 0, 0, 0])
    boxes = np.repeat(person[:, None], 3, axis=1) + np.array([100, 0, 100], np.float32)[:, None]
    found, sure = detections(scores, boxes, CONV)
    # The last is padding, the one before no surer than .05, the first overlapped by the second.
    assert found.tolist() == [[0, 0, 10, 8], [50, 0, 60, 10]]
    np.testing.assert_allclose(sure, [0.8, 0.7])
    one, _ = detections(scores, boxes, replace(CONV, detections=1))
    assert one.tolist() == [[0, 0, 10, 8]]
    nobody, unsure = detections(scores, boxes, replace(CONV, min_score=0.95))
    assert (nobody.shape, unsure.shape) == ((0, 4), (0,))


def test_boxes_are_filled_up_and_cut():
    boxes = floats([1, 2, 3, 4], [5, 6, 7, 8])
    assert padded(boxes, 3).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 0]]
    assert padded(boxes, 1).tolist() == [[1, 2, 3, 4]]


def crowd(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes that overlap, scores, levels."""
    random = np.random.default_rng(3)
    corner = random.uniform(0, 200, (count, 2))
    boxes = np.hstack((corner, corner + random.uniform(5, 60, (count, 2)))).astype(np.float32)
    return boxes, random.normal(size=count).astype(np.float32), random.integers(0, 5, count)


@pytest.mark.parametrize("most", [10, 1000])
def test_proposals_are_torchs(most: int):
    boxes, logits, levels = crowd(1500)
    boxes[::50, 2] = boxes[::50, 0]
    found = proposals(boxes, logits, levels, replace(CONV, proposals=most))
    want = eager_proposals(*map(torch.from_numpy, (boxes, logits, levels)), CONV.nms_iou, most, CONV.min_side)
    np.testing.assert_array_equal(found[: len(want)], want.numpy())
    assert not found[len(want) :].any()


def test_people_are_torchs():
    boxes, scores, _ = crowd(400)
    scores = 1 / (1 + np.exp(-scores))
    found, sure = detections(scores[:, None], boxes[:, None], replace(CONV, person=0, detections=400))
    kept = nms_within(torch.from_numpy(boxes), torch.from_numpy(scores), torch.zeros(400), CONV.box_nms_iou)
    kept = kept[scores[kept.numpy()] > CONV.min_score]
    np.testing.assert_array_equal(found, boxes[kept.numpy()])
    np.testing.assert_array_equal(sure, scores[kept.numpy()])


# -- keypoints


def test_a_keypoint_is_where_its_map_is_greatest():
    maps = np.full((1, 2, 56, 56), -20, np.float32)
    maps[0, 0, 10, 20] = 20
    maps[0, 1, 0, 0] = maps[0, 1, 50, 50] = 20  # two places that are as good: the first, and half as sure
    found = keypoints_of(maps, floats([100, 200, 156, 312]))
    # A cell of 1 × 2 px; a cubic is greatest in the middle of the cell, between its two rows of px.
    x, y, sure = found[0, 0]
    assert x == pytest.approx(120.5)
    assert y == pytest.approx(221, abs=0.51)
    assert sure == pytest.approx(1)
    assert found[0, 1, 2] == pytest.approx(0.5)


def test_nobody_has_no_keypoints():
    assert keypoints_of(np.empty((0, 17, 56, 56), np.float32), np.empty((0, 4), np.float32)).shape == (
        0,
        17,
        3,
    )


def test_keypoints_are_where_torchs_enlargement_has_them():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(4, 17, 28, 28, generator=generator) * 3
    maps = F.interpolate(coarse, scale_factor=2.0, mode="bilinear")
    boxes = floats([10, 20, 50.3, 100.7], [0, 0, 30.5, 60], [5, 5, 95, 60], [3, 3, 3.5, 3.2])
    found = keypoints_of(maps.numpy(), boxes)
    for person, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        width, height = max(x1 - x0, 1), max(y1 - y0, 1)
        columns, rows = int(np.ceil(width)), int(np.ceil(height))
        large = F.interpolate(maps[person : person + 1], (rows, columns), mode="bicubic")[0].flatten(1)
        place = large.argmax(1)
        x = (place % columns + 0.5) * width / columns + x0
        y = (place // columns + 0.5) * height / rows + y0
        np.testing.assert_allclose(found[person, :, 0], x, atol=1e-4)
        np.testing.assert_allclose(found[person, :, 1], y, atol=1e-4)
    assert ((found[..., 2] > 0) & (found[..., 2] <= 1)).all()
