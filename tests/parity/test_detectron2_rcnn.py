"""Our R-CNNs against detectron2's, both with the weights of one seed, on recorded results."""

import numpy as np
import pytest

from tests.parity.record_detectron2_rcnn import CONFIGURATIONS, RECORD
from tests.parity.record_torchvision_rcnn import SIZES
from tests.parity.test_torchvision_rcnn import assert_detects, results_of


@pytest.mark.slow
@pytest.mark.parametrize("system", CONFIGURATIONS)
@pytest.mark.parametrize("number", range(len(SIZES)))
def test_detections_are_detectron2s(system: str, number: int) -> None:
    with np.load(RECORD) as recorded:
        expected = results_of(dict(recorded), system, number)
    assert_detects(system, number, expected, first_label=0)
