import numpy as np
import pytest

from bodystream.pipeline.matching import iou, match


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def test_iou_of_boxes_that_can_be_counted_by_hand():
    found = iou(boxes([0, 0, 2, 2], [5, 5, 6, 6]), boxes([1, 1, 3, 3], [0, 0, 2, 2], [9, 9, 9, 9]))
    assert found == pytest.approx(np.array([[1 / 7, 1, 0], [0, 0, 0]]))


def test_iou_of_none():
    assert iou(boxes(), boxes([0, 0, 1, 1])).shape == (0, 1)
    assert match(iou(boxes(), boxes()), 0.3) == []


def test_the_best_pair_goes_first_and_each_row_and_column_once():
    likeness = np.array([[0.9, 0.8], [0.85, 0.1]], np.float32)
    assert match(likeness, 0.3) == [(0, 0)]
    assert match(likeness, 0.05) == [(0, 0), (1, 1)]


def test_pairs_under_the_least_are_not_made():
    assert match(np.array([[0.29]], np.float32), 0.3) == []
