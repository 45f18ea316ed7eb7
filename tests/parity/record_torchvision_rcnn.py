"""Record what torchvision's detectors make of a picture, for `test_torchvision_rcnn.py`.

Needs `torchvision` (made with 0.28.0, torch 2.13.0, on a CPU), which the project does not install; in an
environment that has it, from the repository's root:

    PYTHONPATH=$(python tests/links.py) python -m tests.parity.record_torchvision_rcnn

Both sides fill their parameters from a seed and the parameters' names (`models.weights.random`), so that equal
names mean equal networks; nothing is exchanged but the seed. What is recorded: the detections' boxes, scores and
labels, how many proposals there were, every ninth cell of a few masks and heatmaps, and for the operations
alone their inputs and outputs.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bodystream.models.weights.random import fill_rcnn

RECORD = Path(__file__).parent.parent / "data" / "torchvision-rcnn.npz"
SEED = 0
SIZES = ((256, 320), (480, 352))  # rows, columns of the pictures; the second is padded to no multiple of 64
NETS = ("faster-rcnn-r50-fpn", "mask-rcnn-r50-fpn", "keypoint-rcnn-r50-fpn")
KEPT = 4  # detections whose masks or heatmaps are recorded
EVERY = 9  # of their cells, each way
ANCHORS = 31  # every how many of them: prime to the three of a cell


def picture(size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture of blurred blotches, uint8 (H, W, 3) BGR, from the seed alone."""
    h, w = size
    rng = np.random.default_rng([SEED, h, w])
    coarse = rng.uniform(0, 255, (h // 16 + 2, w // 16 + 2, 3))
    y, x = np.arange(h) / 16, np.arange(w) / 16
    iy, ix = y.astype(int), x.astype(int)
    fy, fx = (y - iy)[:, None, None], (x - ix)[None, :, None]
    top = coarse[iy][:, ix] * (1 - fx) + coarse[iy][:, ix + 1] * fx
    bottom = coarse[iy + 1][:, ix] * (1 - fx) + coarse[iy + 1][:, ix + 1] * fx
    return (top * (1 - fy) + bottom * fy).astype(np.uint8)


def fingerprint(shapes: dict[str, tuple[int, ...]]) -> str:
    """Names and shapes of a network's parameters and buffers in a line."""
    return sha256(
        json.dumps(sorted((name, list(shape)) for name, shape in shapes.items())).encode()
    ).hexdigest()


def shapes_of(net: nn.Module) -> dict[str, tuple[int, ...]]:
    """Name to shape."""
    return {name: tuple(each.shape) for name, each in net.state_dict().items()}


def torchvision_net(system: str, size: tuple[int, int], **options: int) -> Any:
    """torchvision's own, with frozen normalisation without epsilon, as its published weights are used."""
    from torchvision.models.detection import FasterRCNN, KeypointRCNN, MaskRCNN
    from torchvision.models.detection._utils import overwrite_eps
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.ops.misc import FrozenBatchNorm2d

    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d, trainable_layers=5
    )
    options |= {"min_size": min(size), "max_size": max(size)}  # leaves the picture as it is
    net = {
        "faster-rcnn-r50-fpn": lambda: FasterRCNN(backbone, 91, **options),
        "mask-rcnn-r50-fpn": lambda: MaskRCNN(backbone, 91, **options),
        "keypoint-rcnn-r50-fpn": lambda: KeypointRCNN(backbone, 2, num_keypoints=17, **options),
    }[system]()
    overwrite_eps(net, 0.0)
    fill_rcnn(net, SEED, person=1)
    return net.eval()


def run(system: str, size: tuple[int, int]) -> dict[str, NDArray[Any]]:
    """What torchvision says of the picture."""
    net = torchvision_net(system, size)
    taken: dict[str, Any] = {}
    net.rpn.register_forward_hook(lambda _module, _inputs, output: taken.update(proposals=output[0][0]))
    for name in ("mask_predictor", "keypoint_predictor"):
        if getattr(net.roi_heads, name, None) is not None:
            getattr(net.roi_heads, name).register_forward_hook(
                lambda _module, _inputs, output, name=name: taken.update({name: output})
            )
    rgb = torch.from_numpy(np.ascontiguousarray(picture(size)[:, :, ::-1]).transpose(2, 0, 1).copy())
    with torch.inference_mode():
        (found,) = net([rgb.float() / 255])
    recorded = {
        "boxes": found["boxes"].numpy(),
        "scores": found["scores"].numpy(),
        "labels": found["labels"].numpy().astype(np.uint8),
        "proposals": np.int64(len(taken["proposals"])),
    }
    if system.startswith("mask"):
        own = taken["mask_predictor"][torch.arange(len(found["labels"])), found["labels"]]
        recorded["masks"] = own.sigmoid()[:KEPT, ::EVERY, ::EVERY].numpy()
    if system.startswith("keypoint"):
        recorded["heatmaps"] = taken["keypoint_predictor"][:KEPT, :, ::EVERY, ::EVERY].numpy()
    return recorded


def losses(system: str) -> dict[str, NDArray[Any]]:
    """What torchvision is trained on: two pictures, two objects in the first and none in the second.

    So many boxes are drawn that all are: no two draw alike.
    """
    net = torchvision_net(
        system,
        SIZES[0],
        rpn_batch_size_per_image=EVERYTHING,
        box_batch_size_per_image=EVERYTHING,
        rpn_pre_nms_top_n_train=1000,
        rpn_post_nms_top_n_train=1000,
    ).train()
    rgb = torch.from_numpy(np.ascontiguousarray(picture(SIZES[0])[:, :, ::-1])).permute(2, 0, 1).float() / 255
    boxes, labels, keypoints = objects(1 if system.startswith("keypoint") else 90)
    some = {
        "boxes": boxes,
        "labels": labels + 1,
        "masks": torch.ones(len(boxes), *SIZES[0], dtype=torch.uint8),
        "keypoints": keypoints,
    }
    nobody = {name: each[:0] for name, each in some.items()}
    with torch.no_grad():
        found = net([rgb, rgb.flip(2)], [some, nobody])
    return {name.removeprefix("loss_"): value.numpy() for name, value in found.items()}


EVERYTHING = 10**6


def objects(classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Two objects of a picture of SIZES[0]: boxes (2, 4), labels (2,) from 0, keypoints (2, 17, 3)."""
    boxes = torch.tensor([[40.0, 30, 200, 220], [101.5, 60.25, 300, 250]])
    rng = np.random.default_rng([SEED, 4])
    places = torch.from_numpy(rng.uniform(-0.1, 1.1, (2, 17, 2)).astype(np.float32))  # some lie outside
    keypoints = boxes[:, None, :2] + places * (boxes[:, None, 2:] - boxes[:, None, :2])
    visible = torch.from_numpy(rng.integers(0, 3, (2, 17, 1)).astype(np.float32))
    return boxes, torch.tensor([0, min(4, classes - 1)]), torch.cat([keypoints, visible], -1)


def boxes_about(rng: np.random.Generator, count: int, side: float) -> Tensor:
    """Boxes of 1..side px within side × side px, some beyond it."""
    low = rng.uniform(-0.1 * side, 0.9 * side, (count, 2))
    return torch.from_numpy(
        np.concatenate([low, low + rng.uniform(1, 0.7 * side, (count, 2))], 1).astype(np.float32)
    )


def operations() -> dict[str, NDArray[Any]]:
    """RoIAlign, NMS, the box code and the anchors, each alone, on inputs from the seed."""
    from torchvision.models.detection._utils import BoxCoder
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.image_list import ImageList
    from torchvision.ops import batched_nms, nms, roi_align

    recorded: dict[str, NDArray[Any]] = {}
    features, rois = operation_rois()
    for sampling in (2, 0):
        for aligned in (False, True):
            out = roi_align(features, rois, 7, 0.25, sampling if sampling else -1, aligned)
            recorded[f"roi_align_{sampling}_{int(aligned)}"] = out.numpy()
    boxes, scores, groups = operation_boxes()
    recorded["nms"] = nms(boxes, scores, 0.5).numpy().astype(np.int16)
    recorded["batched_nms"] = batched_nms(boxes, scores, groups, 0.5).numpy().astype(np.int16)
    codes = operation_codes()
    coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
    recorded["decoded"] = coder.decode_single(codes, boxes).numpy()
    recorded["encoded"] = coder.encode_single(boxes.flip(0), boxes).numpy()
    generator = AnchorGenerator(tuple((size,) for size in (32, 64, 128, 256, 512)), ((0.5, 1.0, 2.0),) * 5)
    shapes = [(24, 40), (12, 20), (6, 10), (3, 5), (2, 3)]
    maps = [torch.zeros(1, 1, *shape) for shape in shapes]
    (anchors,) = generator(ImageList(torch.zeros(1, 3, 96, 160), [(96, 160)]), maps)
    recorded["anchors"] = anchors.numpy().astype(np.int16)[::ANCHORS]
    return recorded


def operation_rois() -> tuple[Tensor, Tensor]:
    """Features (2, 2, 20, 30) at 1/4 and rois (12, 5), one of them empty."""
    rng = np.random.default_rng([SEED, 1])
    features = torch.from_numpy(rng.normal(size=(2, 2, 20, 30)).astype(np.float32))
    boxes = boxes_about(rng, 12, 100)
    boxes[3] = 0
    picture_of = torch.from_numpy((np.arange(12) % 2).astype(np.float32))
    return features, torch.cat([picture_of[:, None], boxes], 1)


def operation_boxes() -> tuple[Tensor, Tensor, Tensor]:
    """Boxes (100, 4), scores (100,) and groups (100,) of three."""
    rng = np.random.default_rng([SEED, 2])
    boxes = boxes_about(rng, 100, 100)
    scores = torch.from_numpy(rng.uniform(size=100).astype(np.float32))
    return boxes, scores, torch.from_numpy(rng.integers(0, 3, 100))


def operation_codes() -> Tensor:
    """Codes (100, 4), some of them beyond what a box may grow to."""
    rng = np.random.default_rng([SEED, 3])
    return torch.from_numpy(rng.normal(size=(100, 4)).astype(np.float32)) * torch.tensor(
        [3.0, 3.0, 12.0, 12.0]
    )


def main() -> None:
    torch.set_num_threads(2)
    recorded = {f"ops/{name}": value for name, value in operations().items()}
    for system in NETS:
        shapes = shapes_of(torchvision_net(system, SIZES[0]))
        recorded[f"{system}/names"] = np.array([fingerprint(shapes), str(len(shapes))])
        recorded |= {f"{system}/losses/{name}": value for name, value in losses(system).items()}
        for number, size in enumerate(SIZES):
            recorded |= {f"{system}/{number}/{name}": value for name, value in run(system, size).items()}
    np.savez_compressed(RECORD, **recorded)


if __name__ == "__main__":
    main()
