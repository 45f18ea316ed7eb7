"""Our R-CNNs against detectron2's, both with the weights of one seed, on recorded results."""

import numpy as np
import pytest
import torch

from bodystream.models.nets.rcnn.system import SYSTEMS, Rcnn
from bodystream.models.weights.detectron2 import is_named_so, our_name
from tests.parity.record_detectron2_rcnn import CONFIGURATIONS, RECORD, detectron2_name
from tests.parity.record_torchvision_rcnn import SIZES
from tests.parity.test_torchvision_rcnn import assert_detects, results_of


@pytest.mark.slow
@pytest.mark.parametrize("system", CONFIGURATIONS)
@pytest.mark.parametrize("number", range(len(SIZES)))
def test_detections_are_detectron2s(system: str, number: int) -> None:
    with np.load(RECORD) as recorded:
        expected = results_of(dict(recorded), system, number)
    assert_detects(system, number, expected, first_label=0)


@pytest.mark.parametrize("system", CONFIGURATIONS)
def test_reader_turns_detectron2s_names_back(system: str) -> None:
    with torch.device("meta"):
        names = list(Rcnn(SYSTEMS[system]).state_dict())
    theirs = [detectron2_name(name) for name in names]
    assert is_named_so(theirs)
    assert [our_name(name) for name in theirs] == names
