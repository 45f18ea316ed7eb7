"""dense-s round a session."""

import numpy as np
import pytest

from bodystream.models.dense import CorrespondenceNet
from bodystream.models.dense_layout import CELLS, CHANNELS


def outputs(inputs):
    people = len(inputs)
    assert people
    return [
        np.full((people, 128, 128), 7, np.uint8),
        np.full((people, 2, 128, 128), 0.5, np.float32),
        np.full((people, 128, 128), 255, np.uint8),
    ]


@pytest.mark.parametrize("people", [0, 1, 12])
def test_every_person_gets_maps(people: int):
    found = CorrespondenceNet(outputs)(np.zeros((people, CHANNELS, CELLS, CELLS), np.float32))
    assert (found.part.shape, found.part.dtype) == ((people, 128, 128), np.uint8)
    assert (found.uv.shape, found.uv.dtype) == ((people, 2, 128, 128), np.float32)
    assert (found.confidence.shape, found.confidence.dtype) == ((people, 128, 128), np.uint8)
    assert [(part == 7).all() for part in found.part] == [True] * people


def test_inputs_of_another_layout_are_refused():
    with pytest.raises(ValueError, match=r"inputs are \(1, 41, 64, 64\), expected \(N, 48, 64, 64\)"):
        CorrespondenceNet(outputs)(np.zeros((1, 41, CELLS, CELLS), np.float32))
