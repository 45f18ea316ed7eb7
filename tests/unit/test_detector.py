"""The detector round a session that answers as it is told."""

import numpy as np
import pytest
from numpy.typing import NDArray

from bodystream.models.detector import INPUT_SIZE, MAX_PEOPLE, Detector

Arrays = tuple[NDArray[np.float32], ...]


class Answers:
    """A session that gives the same boxes and scores for every picture, and keeps the picture."""

    def __init__(self, *people: tuple[float, float, float, float, float]) -> None:
        rows = np.array(people, np.float32).reshape(-1, 5)
        self.outputs = rows[None, :, :4], rows[None, :, 4]
        self.batch: NDArray[np.uint8] | None = None

    def __call__(self, batch: NDArray[np.uint8]) -> Arrays:
        self.batch = batch
        return self.outputs


def test_boxes_come_in_px_of_the_picture_best_first() -> None:
    session = Answers((0, 0, 104, 208, 0.6), (208, 208, 416, 416, 0.9))
    boxes, scores = Detector(session)(np.zeros((200, 800, 3), np.uint8))
    np.testing.assert_allclose(boxes, [[400, 100, 800, 200], [0, 0, 200, 100]])
    np.testing.assert_allclose(scores, [0.9, 0.6])
    assert boxes.dtype == scores.dtype == np.float32


def test_session_gets_the_whole_picture_at_its_own_size() -> None:
    session = Answers()
    left_blue = np.zeros((100, 300, 3), np.uint8)
    left_blue[:, :150, 0] = 255
    Detector(session)(left_blue)
    assert session.batch is not None
    assert session.batch.shape == (1, INPUT_SIZE, INPUT_SIZE, 3)
    assert session.batch.dtype == np.uint8
    assert (session.batch[0, :, :200] == (255, 0, 0)).all()
    assert (session.batch[0, :, 216:] == 0).all()


def test_boxes_are_cut_at_the_edge() -> None:
    boxes, _ = Detector(Answers((-50, -1, 500, 417, 0.9)))(np.zeros((30, 40, 3), np.uint8))
    assert boxes.tolist() == [[0, 0, 40, 30]]


def test_weak_boxes_are_dropped_and_the_limit_itself_is_kept() -> None:
    session = Answers((0, 0, 50, 50, 0.5), (100, 0, 150, 50, 0.25), (200, 0, 250, 50, 0.2499))
    _, scores = Detector(session, min_score=0.25)(np.zeros((416, 416, 3), np.uint8))
    assert scores.tolist() == [0.5, 0.25]


def test_one_box_for_one_person() -> None:
    session = Answers((0, 0, 100, 100, 0.7), (0, 0, 100, 90, 0.8), (0, 0, 100, 50, 0.6))
    boxes, _ = Detector(session)(np.zeros((416, 416, 3), np.uint8))
    assert boxes.tolist() == [
        [0, 0, 100, 90],
        [0, 0, 100, 50],
    ]  # 50 of 90 is .56, below the .6 of the original


def test_a_crowd_is_bounded() -> None:
    cells = [(x * 20.0, y * 20.0, x * 20.0 + 19, y * 20.0 + 19, 0.9) for x in range(20) for y in range(20)]
    _, scores = Detector(Answers(*cells))(np.zeros((416, 416, 3), np.uint8))
    assert len(scores) == MAX_PEOPLE


@pytest.mark.parametrize("size", [(1, 1), (359, 639), (4320, 7680)])
def test_nobody_in_pictures_of_any_size(size: tuple[int, int]) -> None:
    boxes, scores = Detector(Answers((0, 0, 416, 416, 0.01)))(np.zeros((*size, 3), np.uint8))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


@pytest.mark.parametrize("size", [(1, 1), (4320, 7680)])
def test_somebody_in_pictures_of_any_size(size: tuple[int, int]) -> None:
    boxes, _ = Detector(Answers((0, 0, 208, 416, 0.9)))(np.zeros((*size, 3), np.uint8))
    np.testing.assert_allclose(boxes, [[0, 0, size[1] / 2, size[0]]])
