"""An R-CNN as pieces of fixed shapes, cut where the number of boxes would change; `models.rcnn` joins them.

A piece takes uint8 pixels or features, reads as many boxes as its file says, zeros for those that are not there, and
has no branch, loop or suppression in it. Weights compute in the precision asked for; pixels' means, boxes, RoIAlign
and probabilities are float32 always.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bodystream.export.packed import packed, places, pool_packed, unpacked
from bodystream.export.precision import computing, folded
from bodystream.export.to_onnx import Exportable, Tensors
from bodystream.export.wrap_dense import winner
from bodystream.models.nets.rcnn import box_head, keypoint_head, mask_head
from bodystream.models.nets.rcnn.boxes import clip
from bodystream.models.nets.rcnn.cse_head import EmbeddingOutput, unit
from bodystream.models.nets.rcnn.densepose_head import CHARTS, SIZE, DenseOutput
from bodystream.models.nets.rcnn.pooling import STRIDE, pool
from bodystream.models.nets.rcnn.rpn import best_of_levels
from bodystream.models.nets.rcnn.system import Rcnn, with_picture
from bodystream.models.rcnn import Conventions, Shape

# How far onnxruntime may be from torch in single precision, by precision, piece and output. Boxes are px, confidence
# and the dense heads' mask levels of 255. What is in GROWING has no scale of its own, the trunk's logits among it.
TOLERANCES: dict[str, dict[str, dict[str, float]]] = {
    "fp32": {
        "trunk": {"pyramid": 2e-4, "boxes": 0.1, "scores": 2e-4, "levels": 0, "decoded": 2e-4},
        "box": {"scores": 1e-4, "refined": 0.05},
        "mask": {"masks": 1e-3},
        "keypoint": {"heatmaps": 2e-4},
        "dense": {"part": 0, "uv": 2e-3, "confidence": 1},
        "cse": {"mask": 1, "embedding": 1e-3},
    },
    "fp16": {
        "trunk": {"pyramid": 2e-2, "boxes": 2.0, "scores": 2e-2, "levels": 0, "decoded": 2e-2},
        "box": {"scores": 5e-3, "refined": 0.5},
        "mask": {"masks": 0.02},
        "keypoint": {"heatmaps": 1e-2},
        "dense": {"part": 0, "uv": 0.05, "confidence": 12},
        "cse": {"mask": 4, "embedding": 0.02},
    },
}
# In 8 bits the backbone alone computes; the trunk's boxes are not compared one by one: others come to be the likeliest.
TOLERANCES["int8"] = TOLERANCES["fp32"] | {
    "trunk": {"pyramid": 0.3, "boxes": 0, "scores": 0.3, "levels": 0, "decoded": 0.3}
}
GROWING = {"trunk": ("pyramid", "scores", "decoded"), "keypoint": ("heatmaps",)}
# Of the largest logit, 1 at least: where two are as near, rounding decides which is the greater.
TIES = {"fp32": 2e-4, "fp16": 5e-2, "int8": 2.0}


def conventions_of(net: Rcnn, shape: Shape) -> Conventions:
    """What the files of a network say for `models.rcnn`."""
    spec = net.spec
    return Conventions(
        height=shape.height,
        width=shape.width,
        proposals=shape.proposals,
        people=shape.people,
        person=spec.person,
        short_side=spec.short_side,
        long_side=spec.long_side,
        nms_iou=spec.nms_iou,
        min_side=spec.min_size,
        box_nms_iou=spec.box_nms_iou,
        box_min_side=spec.min_box,
        min_score=spec.min_score,
        detections=spec.detections,
    )


def pieces(net: Rcnn, shape: Shape, precision: str = "fp32") -> dict[str, Exportable]:
    """The network's pieces by name, in the order in which they run. Files in int8 are made from those in fp32."""
    spec, net = net.spec, net.eval()
    modules: dict[str, nn.Module] = {
        "trunk": Trunk(net, shape, precision),
        "box": BoxPiece(net, shape, precision),
    }
    if spec.mask:
        modules["mask"] = MaskPiece(net, shape, precision)
    if spec.keypoints:
        modules["keypoint"] = KeypointPiece(net, shape, precision)
    if spec.dense == "cse":
        modules["cse"] = EmbeddingPiece(net, shape, precision)
    elif spec.dense:
        modules["dense"] = ChartPiece(net, shape, precision)
    return {name: _exportable(name, module, net, shape, precision) for name, module in modules.items()}


def _exportable(name: str, module: nn.Module, net: Rcnn, shape: Shape, precision: str) -> Exportable:
    decodes = net.spec.decoder
    tolerances = {
        output: near for output, near in TOLERANCES[precision][name].items() if decodes or output != "decoded"
    }
    reference = References(net, shape, name)
    dense = name in ("dense", "cse")
    boxes = shape.proposals if name == "box" else shape.people
    features = "decoded" if decodes and dense else "pyramid"
    ties = {"trunk": reference.trunk_ties, "dense": reference.chart_ties}.get(name)
    return Exportable(
        module,
        picture_example(shape)
        if name == "trunk"
        else boxes_example(net, shape, features, boxes, name == "box"),
        tolerances,
        GROWING.get(name, ()),
        ties(TIES[precision]) if ties else None,
        reference,
        fixed=True,
        sizes=(1, 2) if name == "trunk" else tuple(sorted({0, 1, boxes})),
    )


# -- the pieces


class Trunk(nn.Module):
    """Inputs: image uint8 (1, H, W, 3) BGR, the picture in its upper left corner; size float32 (2,): height and width
    of the picture there, px.

    Outputs: pyramid float32 (1, C, rows, columns): P2..P5 side by side; boxes float32 (M, 4): px, cut at the picture,
    those that the RPN thinks likeliest on each level, best of a level first; scores float32 (M,): logits; levels
    int64 (M,): 0 for P2. Some have decoded float32 (1, C, H/4, W/4): the pyramid merged for the dense head.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: Rcnn, shape: Shape, precision: str) -> None:
        super().__init__()
        self.bgr, self.pre_nms = net.spec.bgr, net.spec.pre_nms
        self.features = computing(Features(net), precision)
        self.register_buffer("mean", net.mean.clone())
        self.register_buffer("std", net.std.clone())
        sizes = [(-(-shape.height // stride), -(-shape.width // stride)) for stride in _strides()]
        for level, anchors in enumerate(net.anchors([torch.empty(1, 1, *size) for size in sizes])):
            self.register_buffer(f"anchors{level}", anchors)

    def forward(self, image: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        pixels = image.permute(0, 3, 1, 2).float()  # (1, 3, H, W)
        pictures = ((pixels if self.bgr else pixels.flip(1)) - self.mean) / self.std
        pyramid, logits, codes, decoded = self.features(pictures * within(image, size))
        anchors = [getattr(self, f"anchors{level}") for level in range(len(pyramid))]
        boxes, scores, levels = best_of_levels(logits, codes, anchors, size, self.pre_nms)
        return packed(pyramid), boxes[0], scores[0], levels, *decoded


class Features(nn.Module):
    """All of the trunk that computes with weights."""

    def __init__(self, net: Rcnn) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(net.backbone)
        self.backbone.body = folded(net.backbone.body)
        self.rpn = net.rpn
        self.decoder = net.roi_heads.decoder if net.spec.decoder else None

    def forward(
        self, pictures: Tensor
    ) -> tuple[tuple[Tensor, ...], list[Tensor], list[Tensor], tuple[Tensor, ...]]:
        """Normalised pictures to P2..P6, the RPN's logits and codes, and the decoded map where there is one."""
        pyramid = self.backbone(pictures)
        logits, codes = self.rpn(pyramid)
        return pyramid, logits, codes, (self.decoder(pyramid[:-1]),) if self.decoder else ()


class BoxPiece(nn.Module):
    """Inputs: pyramid, as the trunk gives it; boxes float32 (K, 4): proposals, px; size float32 (2,), as the trunk's.

    Outputs: scores float32 (K, C): probabilities of the foreground classes; refined float32 (K, C, 4): each class's
    boxes, px, cut at the picture.
    """

    def __init__(self, net: Rcnn, shape: Shape, precision: str) -> None:
        super().__init__()
        heads = net.roi_heads
        self.read = reader(net, shape, box_head.BINS)
        self.head = computing(nn.Sequential(heads.box_head, heads.box_predictor), precision)
        self.background_first = net.spec.background_first

    def forward(self, pyramid: Tensor, boxes: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        logits, codes = self.head(self.read(pyramid, boxes))
        scores, codes = box_head.foreground(logits, codes, self.background_first)
        return scores, clip(box_head.refined(codes, boxes), size)


class MaskPiece(nn.Module):
    """Inputs: pyramid, as the trunk gives it; boxes float32 (D, 4): people, px.

    Output: masks float32 (D, 28, 28): over the box, the probability that a cell is the person's.
    """

    def __init__(self, net: Rcnn, shape: Shape, precision: str) -> None:
        super().__init__()
        spec = net.spec
        predictor = copy.deepcopy(net.roi_heads.mask_predictor)
        predictor.mask_fcn_logits = _one_class(predictor.mask_fcn_logits, spec.person + spec.background_first)
        self.read = reader(net, shape, mask_head.BINS)
        self.head = computing(nn.Sequential(net.roi_heads.mask_head, predictor), precision)

    def forward(self, pyramid: Tensor, boxes: Tensor) -> tuple[Tensor]:
        """See the class."""
        return (self.head(self.read(pyramid, boxes))[:, 0].sigmoid(),)  # (D, 28, 28)


class KeypointPiece(nn.Module):
    """Inputs: pyramid, as the trunk gives it; boxes float32 (D, 4): people, px.

    Output: heatmaps float32 (D, J, 56, 56): over the box, logits of where each keypoint is.
    """

    def __init__(self, net: Rcnn, shape: Shape, precision: str) -> None:
        super().__init__()
        heads = net.roi_heads
        self.read = reader(net, shape, keypoint_head.BINS)
        self.head = computing(nn.Sequential(heads.keypoint_head, heads.keypoint_predictor), precision)

    def forward(self, pyramid: Tensor, boxes: Tensor) -> tuple[Tensor]:
        """See the class."""
        return (self.head(self.read(pyramid, boxes)),)  # (D, J, 56, 56)


class ChartPiece(nn.Module):
    """Inputs: pyramid or decoded, as the trunk gives it; boxes float32 (D, 4): people, px.

    Outputs: part uint8 (D, 112, 112): over the box, 0 none, 1..24; uv float32 (D, 2, 112, 112): 0..1, on that part's
    chart; confidence uint8 (D, 112, 112): 0..255 for 0..1, the probability of a person and of that part.
    """

    def __init__(self, net: Rcnn, shape: Shape, precision: str) -> None:
        super().__init__()
        self.read = dense_reader(net, shape)
        self.head = computing(_dense_head(net), precision)

    def forward(self, features: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class. P are the 112 · 112 cells."""
        said: DenseOutput = self.head(self.read(features, boxes))
        coarse, fine, u, v = (each.flatten(2) for each in said)  # (D, channels, P)
        numbers = torch.arange(CHARTS + 1, dtype=torch.uint8).reshape(1, -1, 1)  # (1, 25, 1)
        top, part = winner((fine, numbers))  # (D, 1, P)
        person = coarse[:, 1:].amax(1, keepdim=True) > coarse[:, :1]  # (D, 1, P)
        part = part * person  # (D, 1, P)
        sure = 1 / (fine - top).exp().sum(1, keepdim=True)  # (D, 1, P): softmax at its greatest
        sure = sure * (1 - coarse.softmax(1)[:, :1])  # (D, 1, P)
        index = part.long()  # (D, 1, P)
        uv = torch.cat([u.gather(1, index), v.gather(1, index)], dim=1).clamp(0, 1)  # (D, 2, P)
        there = part > 0  # (D, 1, P)
        confidence = (sure * there * 255).round().to(torch.uint8)  # (D, 1, P)
        part, confidence = (each.reshape(-1, SIZE, SIZE) for each in (part, confidence))  # (D, 112, 112)
        return part, (uv * there).reshape(-1, 2, SIZE, SIZE), confidence


class EmbeddingPiece(nn.Module):
    """Inputs: pyramid or decoded, as the trunk gives it; boxes float32 (D, 4): people, px.

    Outputs: mask uint8 (D, 112, 112): over the box, 0..255 for 0..1, the probability of a person; embedding float32
    (D, 16, 112, 112): of unit length, where on the surface.
    """

    def __init__(self, net: Rcnn, shape: Shape, precision: str) -> None:
        super().__init__()
        self.read = dense_reader(net, shape)
        self.head = computing(_dense_head(net), precision)

    def forward(self, features: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        said: EmbeddingOutput = self.head(self.read(features, boxes))
        person = 1 - said.coarse.softmax(1)[:, 0]  # (D, 112, 112)
        return (person * 255).round().to(torch.uint8), _unit_maps(said.embedding)


Reader = Callable[[Tensor, Tensor], Tensor]  # features and boxes (R, 4) to (R, C, bins, bins)


def reader(net: Rcnn, shape: Shape, bins: int) -> Reader:
    """Reads boxes from a packed pyramid."""
    spec, where = net.spec, places(shape.height, shape.width)

    def read(pyramid: Tensor, boxes: Tensor) -> Tensor:
        return pool_packed(pyramid, boxes, where, bins, spec.sampling, spec.aligned, spec.canonical)

    return read


def dense_reader(net: Rcnn, shape: Shape) -> Reader:
    """Reads boxes for a dense head, from what its Spec says."""
    spec = net.spec
    if not spec.decoder:
        return reader(net, shape, spec.dense_bins)

    def read(decoded: Tensor, boxes: Tensor) -> Tensor:
        rois = with_picture(boxes, 0)
        return pool([decoded], rois, spec.dense_bins, spec.sampling, spec.aligned, spec.canonical)

    return read


def within(image: Tensor, size: Tensor) -> Tensor:
    """1 where an image (1, H, W, 3) holds the picture of `size` (h, w), and 0 beside it: (H, W)."""
    rows, columns = (
        torch.arange(length) < limit for length, limit in zip(image.shape[1:3], size, strict=True)
    )
    return (rows[:, None] & columns).float()  # (H, W)


def _dense_head(net: Rcnn) -> nn.Module:
    return nn.Sequential(net.roi_heads.densepose_head, net.roi_heads.densepose_predictor)


def _unit_maps(embedding: Tensor) -> Tensor:
    """Embeddings (D, 16, H, W) brought to unit length."""
    return unit(embedding.movedim(1, -1)).movedim(-1, 1)  # (D, 16, H, W)


def _one_class(conv: nn.Conv2d, number: int) -> nn.Conv2d:
    """A 1×1 convolution to one of its channels."""
    only = nn.Conv2d(conv.in_channels, 1, 1)
    assert conv.bias is not None  # told to the type checker
    only.weight = nn.Parameter(conv.weight.detach()[number : number + 1].clone())  # (1, C, 1, 1)
    only.bias = nn.Parameter(conv.bias.detach()[number : number + 1].clone())  # (1,)
    return only


def _strides() -> list[int]:
    """Of P2..P6, px."""
    return [STRIDE << level for level in range(5)]


# -- what they are compared with


class References(nn.Module):
    """What the network itself makes of a piece's inputs, by its own methods, in single precision."""

    def __init__(self, net: Rcnn, shape: Shape, piece: str) -> None:
        super().__init__()
        self.net, self.shape, self.piece = net, shape, piece

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs of the piece."""
        outputs: tuple[Tensor, ...] = getattr(self, f"_{self.piece}")(*inputs)
        return outputs

    def trunk_ties(self, tie: float) -> Callable[..., Tensors]:
        """Boxes whose scores are as near to the next one's in their level, and each level's last."""

        def ties(image: Tensor, size: Tensor) -> Tensors:
            _, _, scores, levels, *_ = self._trunk(image, size)
            near = scores[:-1] - scores[1:] < tie * _size(scores)  # (M - 1,)
            last = torch.ones(1, dtype=torch.bool)
            ends = torch.cat([levels[:-1] != levels[1:], last])  # (M,)
            return {"boxes": torch.cat([near, last]) | torch.cat([~last, near]) | ends}

        return ties

    def chart_ties(self, tie: float) -> Callable[..., Tensors]:
        """Cells where two parts, or person and background, are as near."""

        def ties(features: Tensor, boxes: Tensor) -> Tensors:
            said = self._said(features, boxes)
            assert isinstance(said, DenseOutput)
            best = said.fine.topk(2, dim=1).values  # (D, 2, 112, 112)
            person = said.coarse[:, 1:].amax(1) - said.coarse[:, 0]  # (D, 112, 112)
            near = (best[:, 0] - best[:, 1] < tie * _size(best)) | (person.abs() < tie * _size(said.coarse))
            return dict.fromkeys(("part", "uv", "confidence"), near)

        return ties

    def _levels(self, pyramid: Tensor) -> tuple[Tensor, ...]:
        return unpacked(pyramid, self.shape.height, self.shape.width)

    def _trunk(self, image: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        net = self.net
        pyramid = net.pyramid(net.normalised(image) * within(image, size))
        boxes, scores, levels = net.candidates(pyramid, size)
        decoded = (net.decoded(pyramid),) if net.spec.decoder else ()
        return packed(pyramid), boxes[0], scores[0], levels, *decoded

    def _box(self, pyramid: Tensor, boxes: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        scores, refined = self.net.box_outputs(self._levels(pyramid), with_picture(boxes, 0))
        return scores, clip(refined, size)

    def _mask(self, pyramid: Tensor, boxes: Tensor) -> tuple[Tensor]:
        return (self.net.masks(self._levels(pyramid), with_picture(boxes, 0)),)

    def _keypoint(self, pyramid: Tensor, boxes: Tensor) -> tuple[Tensor]:
        return (self.net.keypoint_heatmaps(self._levels(pyramid), with_picture(boxes, 0)),)

    def _dense(self, features: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        said = self._said(features, boxes)
        assert isinstance(said, DenseOutput)
        return charts(said)

    def _cse(self, features: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        said = self._said(features, boxes)
        assert isinstance(said, EmbeddingOutput)
        person = said.coarse.softmax(1)[:, 1:].sum(1)  # (D, 112, 112)
        return (person * 255).round().to(torch.uint8), _unit_maps(said.embedding)

    def _said(self, features: Tensor, boxes: Tensor) -> DenseOutput | EmbeddingOutput:
        maps = (features,) if self.net.spec.decoder else self._levels(features)
        return self.net.dense_from(maps, with_picture(boxes, 0))


def _size(logits: Tensor) -> Tensor:
    """The largest, 1 at least."""
    return logits.abs().amax().clamp(min=1) if logits.numel() else torch.ones(())


def charts(said: DenseOutput) -> tuple[Tensor, Tensor, Tensor]:
    """What `ChartPiece` gives, the plain way; parts are chosen as by detectron2's DensePose."""
    part = said.fine.argmax(1) * (said.coarse.argmax(1) > 0)  # (D, 112, 112)
    index = part[:, None]  # (D, 1, 112, 112)
    sure = said.fine.softmax(1).gather(1, index)[:, 0] * said.coarse.softmax(1)[:, 1:].sum(1)  # (D, 112, 112)
    uv = torch.cat([said.u.gather(1, index), said.v.gather(1, index)], dim=1).clamp(0, 1)  # (D, 2, 112, 112)
    confidence = (sure * (part > 0) * 255).round().to(torch.uint8)
    return part.to(torch.uint8), uv * (index > 0), confidence


# -- examples


def picture_example(shape: Shape) -> Callable[[int], Tensors]:
    """Of a trunk: blots of colour; for one picture they fill the canvas, for another number three quarters of it."""

    def example(number: int) -> Tensors:
        generator = torch.Generator().manual_seed(number)
        blots = torch.rand(1, 3, shape.height // 8, shape.width // 8, generator=generator)
        smooth = nn.functional.interpolate(blots, scale_factor=8.0, mode="bilinear")  # (1, 3, H, W)
        image = (smooth * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()  # (1, H, W, 3)
        part = 1.0 if number == 1 else 0.75
        return {"image": image, "size": torch.tensor([shape.height * part, float(shape.width)])}

    return example


def boxes_example(
    net: Rcnn, shape: Shape, features: str, count: int, sized: bool
) -> Callable[[int], Tensors]:
    """Of a head: noise for features, and as many of its `count` boxes as asked for, of all sizes and at all edges."""
    channels = net.spec.channels

    def example(number: int) -> Tensors:
        generator = torch.Generator().manual_seed(number)
        levels = [
            torch.randn(1, channels, shape.height // stride, shape.width // stride, generator=generator)
            for stride in _strides()[:-1]
        ]
        inputs = {features: packed(levels) if features == "pyramid" else levels[0]}
        limit = torch.tensor([shape.width, shape.height] * 2, dtype=torch.float32)
        corners = torch.rand(number, 2, generator=generator) * limit[:2]  # (N, 2)
        sides = 2 ** (1 + 8 * torch.rand(number, 2, generator=generator))  # (N, 2), 2..512 px
        boxes = torch.zeros(count, 4)
        boxes[:number] = torch.minimum(torch.cat([corners, corners + sides], dim=1), limit)
        inputs["boxes"] = boxes
        if sized:
            inputs["size"] = torch.tensor([float(shape.height), float(shape.width)])
        return inputs

    return example
