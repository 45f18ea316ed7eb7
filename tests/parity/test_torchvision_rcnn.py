"""Our R-CNNs against torchvision's, both with the weights of one seed, on recorded results."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bodystream.models.nets.rcnn.anchors import level_anchors, strides
from bodystream.models.nets.rcnn.boxes import BOX_WEIGHTS, decode, encode, nms, nms_within
from bodystream.models.nets.rcnn.losses import Targets, rcnn_losses
from bodystream.models.nets.rcnn.pooling import roi_align
from bodystream.models.nets.rcnn.system import SYSTEMS, Rcnn
from bodystream.models.weights.random import random_rcnn
from tests.parity.record_torchvision_rcnn import (
    ANCHORS,
    EVERY,
    EVERYTHING,
    KEPT,
    NETS,
    RECORD,
    SEED,
    SIZES,
    fingerprint,
    objects,
    operation_boxes,
    operation_codes,
    operation_rois,
    picture,
    shapes_of,
)

BOXES, SCORES, MASKS = 0.01, 1e-4, 1e-3  # px and probabilities that may lie between the two

Recorded = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def recorded() -> Iterator[Recorded]:
    with np.load(RECORD) as file:
        yield dict(file)


@pytest.mark.parametrize("system", NETS)
def test_names_and_shapes_are_torchvisions(recorded: Recorded, system: str) -> None:
    with torch.device("meta"):
        shapes = shapes_of(Rcnn(SYSTEMS[system]))
    assert [fingerprint(shapes), str(len(shapes))] == list(recorded[f"{system}/names"])


@pytest.mark.parametrize(
    ("system", "number"),
    [
        pytest.param(system, number, marks=() if (system, number) == (NETS[1], 0) else pytest.mark.slow)
        for system in NETS
        for number in range(len(SIZES))
    ],
)
def test_detections_are_torchvisions(recorded: Recorded, system: str, number: int) -> None:
    assert_detects(system, number, results_of(recorded, system, number), first_label=1)


@pytest.mark.slow
@pytest.mark.parametrize("system", NETS)
def test_losses_are_torchvisions(recorded: Recorded, system: str) -> None:
    spec = replace(SYSTEMS[system], rpn_samples=EVERYTHING, box_samples=EVERYTHING, head_samples=EVERYTHING)
    net = random_rcnn(spec, SEED)
    images = torch.from_numpy(picture(SIZES[0]))[None]
    boxes, labels, keypoints = objects(spec.classes)
    whole = torch.tensor([[0.0, 0, SIZES[0][1], SIZES[0][0]]]).expand(2, 4)
    some = Targets(boxes, labels, frames=whole, masks=torch.ones(2, *SIZES[0]), keypoints=keypoints)
    nobody = Targets(
        boxes[:0], labels[:0], frames=whole[:0], masks=torch.ones(0, *SIZES[0]), keypoints=keypoints[:0]
    )
    with torch.no_grad():
        found = rcnn_losses(net, net.normalised(torch.cat([images, images.flip(2)])), [some, nobody])
    expected = results_of(recorded, system, "losses")
    assert {LOSSES[name] for name in expected} == found.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[LOSSES[name]].item(), value, rtol=1e-4, err_msg=name)


LOSSES = {
    "objectness": "objectness",
    "rpn_box_reg": "rpn_box",
    "classifier": "class",
    "box_reg": "box",
    "mask": "mask",
    "keypoint": "keypoint",
}


@pytest.mark.parametrize("sampling", [2, 0])
@pytest.mark.parametrize("aligned", [False, True])
def test_roi_align_is_torchvisions(recorded: Recorded, sampling: int, aligned: bool) -> None:
    features, rois = operation_rois()
    expected = recorded[f"ops/roi_align_{sampling}_{int(aligned)}"]
    close(roi_align(features, rois, 7, 0.25, sampling, aligned), expected, 1e-5)
    close(torch.ops.bodystream.roi_align(features, rois, 7, 0.25, sampling, aligned), expected, 1e-5)


def test_suppression_is_torchvisions(recorded: Recorded) -> None:
    boxes, scores, groups = operation_boxes()
    np.testing.assert_array_equal(nms(boxes, scores, 0.5), recorded["ops/nms"])
    np.testing.assert_array_equal(nms_within(boxes, scores, groups, 0.5), recorded["ops/batched_nms"])


def test_code_of_boxes_is_torchvisions(recorded: Recorded) -> None:
    boxes, _, _ = operation_boxes()
    np.testing.assert_allclose(
        decode(operation_codes(), boxes, BOX_WEIGHTS), recorded["ops/decoded"], rtol=1e-5, atol=1e-3
    )
    np.testing.assert_allclose(encode(boxes.flip(0), boxes, BOX_WEIGHTS), recorded["ops/encoded"], rtol=1e-5)


def test_anchors_are_torchvisions(recorded: Recorded) -> None:
    shapes = [(24, 40), (12, 20), (6, 10), (3, 5), (2, 3)]
    found = [
        level_anchors(shape, stride, size, True, torch.device("cpu"))
        for shape, stride, size in zip(
            shapes, strides(shapes, (96, 160), exact=False), (32, 64, 128, 256, 512), strict=True
        )
    ]
    np.testing.assert_array_equal(torch.cat(found)[::ANCHORS], recorded["ops/anchors"])


def results_of(recorded: Recorded, system: str, number: int | str) -> Recorded:
    """By short name, what was recorded of a system and a picture, or its losses."""
    start = f"{system}/{number}/"
    return {name.removeprefix(start): value for name, value in recorded.items() if name.startswith(start)}


def assert_detects(system: str, number: int, expected: Recorded, first_label: int) -> None:
    """Our network of the system finds in a picture what was recorded; theirs counts labels from `first_label`."""
    net = random_rcnn(SYSTEMS[system], SEED)
    counted = count_proposals(net)
    with torch.inference_mode():
        found = net(torch.from_numpy(picture(SIZES[number]))[None])
    assert counted == [expected["proposals"]]
    assert len(expected["boxes"]) > 10  # the weights are such that there is something to compare
    close(found.boxes, expected["boxes"], BOXES)
    close(found.scores, expected["scores"], SCORES)
    np.testing.assert_array_equal(found.labels.numpy() + first_label, expected["labels"])
    assert (found.masks is None) == ("masks" not in expected)
    assert (found.keypoints is None) == ("heatmaps" not in expected)
    if found.masks is not None:
        close(found.masks[:KEPT, ::EVERY, ::EVERY], expected["masks"], MASKS)
    if found.keypoints is not None:
        close(found.keypoints[:KEPT, :, ::EVERY, ::EVERY], expected["heatmaps"], MASKS)


def count_proposals(net: Rcnn) -> list[int]:
    """A list that gets the number of boxes whenever the box head is asked."""
    counts: list[int] = []
    net.roi_heads.box_head.register_forward_hook(
        lambda _module, inputs, _output: counts.append(len(inputs[0]))
    )
    return counts


def close(found: Tensor, expected: NDArray[Any], tolerance: float) -> None:
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=tolerance)
