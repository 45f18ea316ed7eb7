"""Record what detectron2's detectors make of a picture, for `test_detectron2_rcnn.py`.

Needs the Python code of `detectron2`, which is on no package registry under its own name (made with its version
0.5, from the source package `detectron2-cdo==0.5`, torch 2.13.0, torchvision 0.28.0, on a CPU); nothing of its
compiled part is used here, so that it need not be built. In an environment that has it, from the repository's
root:

    PYTHONPATH=$(python tests/links.py) python -m tests.parity.record_detectron2_rcnn

Our network with weights of a seed is made first; detectron2's gets the same under its own names.
"""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bodystream.models.nets.rcnn.system import SYSTEMS
from bodystream.models.weights.random import random_rcnn
from tests.parity.record_torchvision_rcnn import EVERY, KEPT, SEED, SIZES, picture

RECORD = Path(__file__).parent.parent / "data" / "detectron2-rcnn.npz"
CONFIGURATIONS = {
    "faster-rcnn-r50-fpn-d2": "COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml",
    "mask-rcnn-r50-fpn-d2": "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml",
    "keypoint-rcnn-r50-fpn-d2": "COCO-Keypoints/keypoint_rcnn_R_50_FPN_3x.yaml",
}

# Our names, which are torchvision's, to detectron2's, in this order.
RENAMED = (
    (r"backbone\.body\.(conv1)\.", r"backbone.bottom_up.stem.\1."),
    (r"backbone\.body\.bn1\.", r"backbone.bottom_up.stem.conv1.norm."),
    (r"backbone\.body\.layer(\d)\.", lambda found: f"backbone.bottom_up.res{int(found[1]) + 1}."),
    (r"(res\d\.\d+)\.bn(\d)\.", r"\1.conv\2.norm."),
    (r"(res\d\.\d+)\.downsample\.0\.", r"\1.shortcut."),
    (r"(res\d\.\d+)\.downsample\.1\.", r"\1.shortcut.norm."),
    (
        r"backbone\.fpn\.(inner|layer)_blocks\.(\d)\.0\.",
        lambda found: f"backbone.fpn_{'lateral' if found[1] == 'inner' else 'output'}{int(found[2]) + 2}.",
    ),
    (r"rpn\.head\.conv\.0\.0\.", "proposal_generator.rpn_head.conv."),
    (r"rpn\.head\.cls_logits\.", "proposal_generator.rpn_head.objectness_logits."),
    (r"rpn\.head\.bbox_pred\.", "proposal_generator.rpn_head.anchor_deltas."),
    (r"box_head\.fc6\.", "box_head.fc1."),
    (r"box_head\.fc7\.", "box_head.fc2."),
    (r"mask_head\.(\d)\.0\.", lambda found: f"mask_head.mask_fcn{int(found[1]) + 1}."),
    (r"mask_predictor\.conv5_mask\.", "mask_head.deconv."),
    (r"mask_predictor\.mask_fcn_logits\.", "mask_head.predictor."),
    (r"keypoint_head\.(\d+)\.", lambda found: f"keypoint_head.conv_fcn{int(found[1]) // 2 + 1}."),
    (r"keypoint_predictor\.kps_score_lowres\.", "keypoint_head.score_lowres."),
)


def detectron2_name(name: str) -> str:
    """detectron2's name of a parameter of ours."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def detectron2_net(system: str) -> Any:
    """detectron2's own, of its model zoo's configuration, with the weights that ours has."""
    import PIL.Image

    # detectron2 0.5 is of 2021. Only its deformable and rotated layers ask for the compiled part, and only its
    # augmentations for what Pillow has renamed since.
    sys.modules["detectron2._C"] = ModuleType("detectron2._C")
    for old, new in (("LINEAR", "BILINEAR"), ("ANTIALIAS", "LANCZOS")):
        setattr(PIL.Image, old, getattr(PIL.Image, new))
    import detectron2
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model

    cfg = get_cfg()
    configurations = Path(detectron2.__file__).parent / "model_zoo" / "configs"
    cfg.merge_from_file(str(configurations / CONFIGURATIONS[system]))
    cfg.MODEL.DEVICE = "cpu"
    net = build_model(cfg).eval()
    weights = random_rcnn(SYSTEMS[system], SEED).state_dict()
    missing, unexpected = net.load_state_dict(
        {detectron2_name(name): each for name, each in weights.items()}, strict=False
    )
    own = {"pixel_mean", "pixel_std"}
    own |= {
        name for name in net.state_dict() if "cell_anchors" in name or name.endswith("num_batches_tracked")
    }
    if unexpected or set(missing) - own:
        raise ValueError(f"names differ: missing {sorted(set(missing) - own)}, unexpected {unexpected}")
    return net


def run(system: str, size: tuple[int, int]) -> dict[str, NDArray[Any]]:
    """What detectron2 says of the picture."""
    net = detectron2_net(system)
    counted: list[int] = []
    net.roi_heads.box_head.register_forward_hook(
        lambda _module, inputs, _output: counted.append(len(inputs[0]))
    )
    image = torch.from_numpy(picture(size)).permute(2, 0, 1)
    with torch.inference_mode():
        (found,) = net.inference([{"image": image}], do_postprocess=False)
    recorded = {
        "boxes": found.pred_boxes.tensor.numpy(),
        "scores": found.scores.numpy(),
        "labels": found.pred_classes.numpy().astype(np.uint8),
        "proposals": np.int64(counted[0]),
    }
    if found.has("pred_masks"):
        recorded["masks"] = sampled(found.pred_masks[:, 0])
    if found.has("pred_keypoint_heatmaps"):
        recorded["heatmaps"] = sampled(found.pred_keypoint_heatmaps)
    return recorded


def sampled(maps: Tensor) -> NDArray[np.float32]:
    """A few maps' few cells."""
    kept: NDArray[np.float32] = maps[:KEPT, ..., ::EVERY, ::EVERY].numpy()
    return kept


def main() -> None:
    torch.set_num_threads(2)
    np.savez_compressed(
        RECORD,
        **{
            f"{system}/{number}/{name}": value
            for system in CONFIGURATIONS
            for number, size in enumerate(SIZES)
            for name, value in run(system, size).items()
        },
    )


if __name__ == "__main__":
    main()
