"""The exported pieces in a row against torchvision's recorded detections of the same weights and picture.

All of a ResNet-50's pieces are exported, with the papers' 1000 proposals. When this was written (torch 2.13.0,
onnxruntime 1.31.1) people were within 1.3e-4 px and scores within 3.5e-6 of torchvision's.
"""

from pathlib import Path

import numpy as np
import pytest

from bodystream.export.check import one_thread
from bodystream.export.check_rcnn import run_heads
from bodystream.export.prepare import export_system
from bodystream.models.rcnn import Shape, conventions, scaled
from bodystream.models.runtime import open_session
from bodystream.models.systems import parse
from tests.parity.record_torchvision_rcnn import EVERY, KEPT, RECORD, SEED, SIZES, picture
from tests.parity.test_torchvision_rcnn import BOXES, MASKS, SCORES, results_of

PERSON = 1  # torchvision's label


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("system", ["mask-rcnn-r50-fpn", "keypoint-rcnn-r50-fpn"])
def test_people_are_torchvisions(system: str, tmp_path: Path) -> None:
    height, width = SIZES[0]
    with one_thread():
        made = export_system(parse(f"{system}=random:{SEED}"), Shape(height, width, 1000, 8), tmp_path)
    sessions = {piece: open_session(file, device="cpu") for piece, file in made.files.items()}
    conv = conventions(sessions["trunk"].metadata)
    canvas, size, scale = scaled(picture(SIZES[0]), conv)
    assert scale.tolist() == [1, 1]
    found = run_heads(sessions, sessions["trunk"].run({"image": canvas, "size": size}), size, conv)
    with np.load(RECORD) as file:
        expected = results_of(dict(file), system, 0)
    people = np.flatnonzero(expected["labels"] == PERSON)
    assert len(people) > 1
    # torchvision keeps the best hundred of all classes, the pieces the best hundred people.
    np.testing.assert_allclose(found.boxes[: len(people)], expected["boxes"][people], rtol=0, atol=BOXES)
    np.testing.assert_allclose(found.scores[: len(people)], expected["scores"][people], rtol=0, atol=SCORES)
    if system.startswith("keypoint"):
        heatmaps = found.maps["keypoint.heatmaps"][:KEPT, :, ::EVERY, ::EVERY]
        np.testing.assert_allclose(heatmaps, expected["heatmaps"], rtol=0, atol=MASKS)
