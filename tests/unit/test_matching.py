import numpy as np
import pytest

from bodystream.pipeline.matching import match, share_inside


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def test_share_inside_of_boxes_that_can_be_counted_by_hand():
    found = share_inside(boxes([0, 0, 2, 2], [5, 5, 6, 6]), boxes([1, 1, 3, 3], [0, 0, 8, 8], [9, 9, 9, 9]))
    assert found == pytest.approx(np.array([[1 / 4, 1, 0], [0, 1, 0]]))


def test_nobody_matches_nobody():
    assert share_inside(boxes(), boxes([0, 0, 1, 1])).shape == (0, 1)
    assert match(np.zeros((0, 3), np.float32), 0.3) == []


def test_the_best_pair_goes_first_and_each_row_and_column_once():
    likeness = np.array([[0.9, 0.8], [0.85, 0.1]], np.float32)
    assert match(likeness, 0.3) == [(0, 0)]
    assert match(likeness, 0.05) == [(0, 0), (1, 1)]


def test_pairs_under_the_least_are_not_made():
    assert match(np.array([[0.29]], np.float32), 0.3) == []
