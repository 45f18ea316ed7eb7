"""Which checkpoint does what in the R-CNN chain, and what the header says of it."""

from pathlib import Path

import pytest

from bodystream.errors import UsageError
from bodystream.models.body.data import identity
from bodystream.models.body.parts import PARTS
from bodystream.models.keypoints import COCO_KEYPOINTS, VNECT_KEYPOINTS
from bodystream.pipeline.chain import Chain
from bodystream.pipeline.lens import GUESS
from bodystream.pipeline.stages.rcnn_chain import Checkpoint, RcnnChoices, open_rcnn_stages, plan_of
from tests.fakes import Clock
from tests.unit.test_rcnn_stages import CONVENTIONS

PIECES = {
    "faster-rcnn-r50-fpn": "trunk box",
    "mask-rcnn-r50-fpn": "trunk box mask",
    "keypoint-rcnn-r50-fpn": "trunk box keypoint",
    "densepose-r50-fpn-s1x": "trunk box dense",
    "densepose-cse-r50-fpn-s1x": "trunk box cse",
    "rcnn-s": "trunk box mask keypoint dense",
    "vnect": "vnect",
    "deeplab-v3-r50": "semantic",
}


def checkpoint(system):
    return Checkpoint(system, {piece: Path(f"{system}.{piece}") for piece in PIECES[system].split()})


def checkpoints(names):
    return [checkpoint(name) for name in names.split()]


class FakeSession:
    """A file that is opened and never run."""

    def __init__(self, path):
        self.name, self.stage, self.sha256 = str(path), "", "ab"
        self.provider, self.precision, self.input = "CPUExecutionProvider", "fp32", (1, 96, 128, 3)
        self.metadata = {"conventions": CONVENTIONS.text()}
        self.inputs, self.outputs = {"image": None}, ("person",)


def opened(names, **choices):
    choices = RcnnChoices(**choices)
    plan = plan_of(checkpoints(names), choices)
    return Chain(open_rcnn_stages(plan, choices, FakeSession, GUESS), Clock()), plan


@pytest.mark.parametrize(
    ("names", "choices", "stages"),
    [
        ("faster-rcnn-r50-fpn", {}, "trunk boxes follow"),
        ("mask-rcnn-r50-fpn", {}, "trunk boxes masks follow"),
        ("rcnn-s", {}, "trunk boxes masks follow keypoints dense steady"),
        ("rcnn-s", {"dense": False, "smooth": "off"}, "trunk boxes masks follow keypoints"),
        ("mask-rcnn-r50-fpn vnect", {}, "trunk boxes masks follow vnect steady pose3d"),
        ("mask-rcnn-r50-fpn vnect", {"pose3d": False}, "trunk boxes masks follow vnect steady"),
        ("keypoint-rcnn-r50-fpn vnect", {}, "trunk boxes follow vnect steady pose3d"),
        (
            "mask-rcnn-r50-fpn keypoint-rcnn-r50-fpn densepose-r50-fpn-s1x vnect",
            None,
            "keypoint-rcnn-r50-fpn",
        ),
        (
            "mask-rcnn-r50-fpn keypoint-rcnn-r50-fpn densepose-r50-fpn-s1x",
            {},
            "trunk boxes masks follow trunk 2 keypoints trunk 3 dense steady",
        ),
        ("densepose-r50-fpn-s1x vnect", {}, "trunk boxes follow dense vnect steady pose3d"),
        ("mask-rcnn-r50-fpn deeplab-v3-r50", {"semantic": True}, "trunk boxes follow semantic"),
        ("rcnn-s deeplab-v3-r50", {"semantic": True}, "trunk boxes follow keypoints semantic dense steady"),
    ],
)
def test_stages(names, choices, stages):
    if choices is None:  # keypoints that VNect's joints replace
        with pytest.raises(UsageError, match=f"--weights {stages}: it has nothing to do beside box by mask"):
            opened(names)
        return
    chain, _ = opened(names, **choices)
    assert " ".join(stage.name for stage in chain.stages) == stages
    assert len({stage.name for stage in chain.stages}) == len(chain.stages)


def test_the_header_says_which_network_ran_in_which_stage():
    chain, _ = opened("mask-rcnn-r50-fpn densepose-r50-fpn-s1x vnect")
    assert [(model.stage, model.name) for model in chain.models] == [
        ("trunk", "mask-rcnn-r50-fpn.trunk"),
        ("boxes", "mask-rcnn-r50-fpn.box"),
        ("masks", "mask-rcnn-r50-fpn.mask"),
        ("trunk 2", "densepose-r50-fpn-s1x.trunk"),
        ("dense", "densepose-r50-fpn-s1x.dense"),
        ("vnect", "vnect.vnect"),
    ]


@pytest.mark.parametrize(
    ("names", "choices", "keypoints", "surface", "poses"),
    [
        ("mask-rcnn-r50-fpn", {}, (), None, False),
        ("keypoint-rcnn-r50-fpn", {}, COCO_KEYPOINTS, None, False),
        ("rcnn-s", {}, COCO_KEYPOINTS, "bodystream-anny", False),
        ("rcnn-s vnect", {}, VNECT_KEYPOINTS, "bodystream-anny", True),
        ("rcnn-s vnect", {"dense": False, "pose3d": False}, VNECT_KEYPOINTS, None, False),
        ("densepose-r50-fpn-s1x", {}, (), "densepose (SMPL charts)", False),
    ],
)
def test_what_the_header_says(names, choices, keypoints, surface, poses):
    choices = RcnnChoices(**choices)
    plan = plan_of(checkpoints(names), choices)
    assert plan.keypoints == keypoints
    assert plan.surface.get("surface", {}).get("name") == surface
    assert plan.surface.get("parts") == (None if surface is None else PARTS)
    assert plan.poses(choices) is poses
    assert plan.on_our_surface == (surface == identity()["name"])


@pytest.mark.parametrize(
    ("names", "choices", "words"),
    [
        ("vnect", {}, ["finds people", "given is vnect", "--weights mask-rcnn-r50-fpn=FILE"]),
        ("", {}, ["given is none"]),
        (
            "mask-rcnn-r50-fpn faster-rcnn-r50-fpn",
            {},
            ["faster-rcnn-r50-fpn", "nothing to do", "leave it out"],
        ),
        ("mask-rcnn-r50-fpn densepose-cse-r50-fpn-s1x", {}, ["embeddings"]),
        ("mask-rcnn-r50-fpn deeplab-v3-r50", {}, ["deeplab-v3-r50", "--segment"]),
        ("mask-rcnn-r50-fpn densepose-r50-fpn-s1x", {"dense": False}, ["densepose", "nothing to do"]),
    ],
)
def test_checkpoints_that_do_not_fit_are_told_of_in_one_line(names, choices, words):
    with pytest.raises(UsageError) as caught:
        plan_of(checkpoints(names), RcnnChoices(**choices))
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words)


def test_poses_are_not_drawn_to_charts_of_another_surface():
    for names, refined in (("rcnn-s vnect", True), ("densepose-r50-fpn-s1x vnect", False)):
        chain, _ = opened(names)
        assert chain.stages[-1]._refine is refined


def test_two_checkpoints_of_one_system_are_two():
    first = checkpoint("mask-rcnn-r50-fpn")
    second = Checkpoint("mask-rcnn-r50-fpn", {k: Path(f"b/{v}") for k, v in first.pieces.items()})
    with pytest.raises(UsageError, match="nothing to do"):
        plan_of([first, second], RcnnChoices())
