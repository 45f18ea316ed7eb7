"""Overlap and suppression, on boxes small enough to count by hand."""

import numpy as np
import pytest

from bodystream.models.boxes import nms, pairwise_iou

SQUARE = [0, 0, 2, 2]
RIGHT_HALF_OFF = [1, 0, 3, 2]  # shares 2 of 6 px² with SQUARE
LOWER_HALF = [0, 1, 2, 2]  # shares 2 of 4 px² with SQUARE
FAR = [10, 10, 11, 12]


def boxes(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_iou_by_hand() -> None:
    found = pairwise_iou(boxes(SQUARE, FAR), boxes(SQUARE, RIGHT_HALF_OFF, LOWER_HALF, FAR))
    np.testing.assert_allclose(found, [[1, 1 / 3, 1 / 2, 0], [0, 0, 0, 1]])


def test_empty_and_inverted_boxes_overlap_nothing() -> None:
    odd = boxes([1, 1, 1, 1], [2, 2, 0, 0])
    assert not pairwise_iou(odd, boxes(SQUARE, *odd.tolist())).any()


@pytest.mark.parametrize(("iou", "kept"), [(0.3, [3, 1]), (0.4, [3, 1, 0]), (0.6, [3, 1, 2, 0])])
def test_threshold_decides_who_remains(iou: float, kept: list[int]) -> None:
    rows = boxes(RIGHT_HALF_OFF, SQUARE, LOWER_HALF, FAR)
    scores = np.array([0.1, 0.8, 0.7, 0.9], np.float32)
    assert nms(rows, scores, iou).tolist() == kept


def test_overlap_of_exactly_the_threshold_remains() -> None:
    assert nms(boxes(SQUARE, LOWER_HALF), np.array([0.9, 0.8], np.float32), 0.5).tolist() == [0, 1]


def test_a_removed_box_removes_nothing() -> None:
    chain = boxes([0, 0, 4, 1], [1, 0, 5, 1], [2, 0, 6, 1])  # neighbours share 3 of 5, the ends 2 of 6
    assert nms(chain, np.array([0.9, 0.8, 0.7], np.float32), 0.5).tolist() == [0, 2]


def test_first_of_equal_scores_wins() -> None:
    assert nms(boxes(SQUARE, SQUARE, SQUARE), np.array([0.5, 0.5, 0.5], np.float32), 0.5).tolist() == [0]


def test_no_boxes() -> None:
    assert nms(boxes(), np.zeros(0, np.float32), 0.5).tolist() == []


@pytest.mark.parametrize("limit", [None, 0, 1, 40, 500])
def test_agrees_with_the_plain_loop(limit: int | None) -> None:
    random = np.random.default_rng(7)
    corner = random.uniform(0, 150, (500, 2))
    rows = np.hstack((corner, corner + random.uniform(1, 40, (500, 2)))).astype(np.float32)
    scores = random.uniform(0, 1, 500).astype(np.float32)
    overlap = pairwise_iou(rows, rows)
    expected: list[int] = []
    for i in np.argsort(-scores):
        if all(overlap[i, j] <= 0.4 for j in expected):
            expected.append(int(i))
    assert nms(rows, scores, 0.4, limit).tolist() == expected[:limit]
    assert 130 < len(expected) < 490
