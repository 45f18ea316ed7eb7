"""Names of detectron2's checkpoints, brought to torchvision's, which the networks here share.

The order of rows needs no change: what differs there (background last, no boxes for it) the system states.
DensePose's heads are called here as they are there.
"""

import re
from collections.abc import Iterable


def is_named_so(names: Iterable[str]) -> bool:
    """Whether these are names of a detectron2 checkpoint."""
    return any(name.startswith(("backbone.bottom_up.", "proposal_generator.")) for name in names)


def our_name(name: str) -> str:
    """The name of the same tensor in the networks here; a name of another part of detectron2 stays."""
    for pattern, target in _RENAMED:
        if found := pattern.match(name):
            return found.expand(target) + name[found.end() :]
    if block := _BLOCK.match(name):
        return _block_name(*block.groups())
    if mask := _numbered("mask_head.mask_fcn", name):
        return f"roi_heads.mask_head.{mask[0] - 1}.0{mask[1]}"
    if keypoint := _numbered("keypoint_head.conv_fcn", name):  # between two convolutions stands a ReLU
        return f"roi_heads.keypoint_head.{2 * (keypoint[0] - 1)}{keypoint[1]}"
    if pyramid := _PYRAMID.match(name):
        blocks = "inner_blocks" if pyramid[1] == "lateral" else "layer_blocks"
        return f"backbone.fpn.{blocks}.{int(pyramid[2]) - 2}.{1 if pyramid[3] else 0}{pyramid[4]}"
    return name


_RENAMED = tuple(
    (re.compile(re.escape(prefix) + r"(?=\.)"), target)
    for prefix, target in (
        ("backbone.bottom_up.stem.conv1.norm", "backbone.body.bn1"),
        ("backbone.bottom_up.stem.conv1", "backbone.body.conv1"),
        ("proposal_generator.rpn_head.conv", "rpn.head.conv.0.0"),
        ("proposal_generator.rpn_head.objectness_logits", "rpn.head.cls_logits"),
        ("proposal_generator.rpn_head.anchor_deltas", "rpn.head.bbox_pred"),
        ("roi_heads.box_head.fc1", "roi_heads.box_head.fc6"),
        ("roi_heads.box_head.fc2", "roi_heads.box_head.fc7"),
        ("roi_heads.mask_head.deconv", "roi_heads.mask_predictor.conv5_mask"),
        ("roi_heads.mask_head.predictor", "roi_heads.mask_predictor.mask_fcn_logits"),
        ("roi_heads.keypoint_head.score_lowres", "roi_heads.keypoint_predictor.kps_score_lowres"),
    )
)
_BLOCK = re.compile(r"^backbone\.bottom_up\.res(\d)\.(\d+)\.(conv(\d)|shortcut)(\.norm)?(\.\w+)$")
_PYRAMID = re.compile(r"^backbone\.fpn_(lateral|output)(\d)(\.norm)?(\.\w+)$")


def _block_name(stage: str, block: str, conv: str, number: str | None, norm: str | None, end: str) -> str:
    """res2.0.conv1.norm -> layer1.0.bn1, res2.0.shortcut -> layer1.0.downsample.0."""
    stem = f"backbone.body.layer{int(stage) - 1}.{block}"
    if number is None:
        return f"{stem}.downsample.{1 if norm else 0}{end}"
    return f"{stem}.{f'bn{number}' if norm else conv}{end}"


def _numbered(head: str, name: str) -> tuple[int, str] | None:
    found = re.match(rf"^roi_heads\.{re.escape(head)}(\d+)(\.\w+)$", name)
    return (int(found[1]), found[2]) if found else None
