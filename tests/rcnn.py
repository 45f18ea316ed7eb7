"""R-CNNs small enough for tests."""

from dataclasses import replace

import torch

from bodystream.models.nets.rcnn.system import DETECTRON2, SYSTEMS, Rcnn, Spec
from bodystream.models.rcnn import Conventions

# What the files of a small network would say; tests change what they are about.
CONVENTIONS = Conventions(
    height=64,
    width=96,
    proposals=10,
    people=4,
    person=0,
    short_side=256,
    long_side=320,
    nms_iou=0.7,
    min_side=1e-3,
    box_nms_iou=0.5,
    box_min_side=1e-2,
    min_score=0.05,
    detections=100,
)


def tiny_spec(dense: str, convention: str) -> Spec:
    """All heads, few channels, for pictures of 64 px or so; of "torchvision"'s or "detectron2"'s conventions."""
    base = {"torchvision": SYSTEMS["rcnn-s"], "detectron2": DETECTRON2}[convention]
    return replace(
        base,
        trunk="resnet18",
        classes=2,
        norm="group",
        width=8,
        channels=64,
        anchors=(8, 16, 32, 64, 128),
        canonical=56,
        box_hidden=16,
        pre_nms=50,
        proposals=20,
        detections=10,
        mask=True,
        mask_convs=1,
        mask_channels=8,
        keypoints=17,
        keypoint_convs=1,
        keypoint_channels=8,
        dense=dense,
        decoder=convention == "detectron2",
        decoder_channels=8,
        dense_convs=1,
        dense_channels=32,
        dense_bins=14,
        non_local=True,
        rpn_samples=32,
        box_samples=16,
        head_samples=4,
    )


def tiny(dense: str, convention: str) -> Rcnn:
    """The network of `tiny_spec`, with the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Rcnn(tiny_spec(dense, convention))
