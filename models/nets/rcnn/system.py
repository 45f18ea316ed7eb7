"""An R-CNN put together from its Spec: trunk, pyramid, proposals, and the heads that look into boxes.

Faster R-CNN (Ren et al., 2015, arXiv:1506.01497) with a feature pyramid (Lin et al., 2017, arXiv:1612.03144),
Mask R-CNN (He et al., 2017, arXiv:1703.06870) with masks or keypoints, DensePose-RCNN (Güler et al., 2018,
arXiv:1802.00434). torchvision's and detectron2's conventions differ only by what the Spec says. Parameters are
named as torchvision's, those of DensePose as detectron2's. The methods are the pieces that are exported; the
module called on a picture is the reference that the pieces are compared with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bodystream.models.nets.backbones.fpn import FeaturePyramid
from bodystream.models.nets.backbones.norm import norm
from bodystream.models.nets.backbones.trunks import Trunk, trunk
from bodystream.models.nets.rcnn import box_head, densepose_head, keypoint_head, mask_head
from bodystream.models.nets.rcnn.anchors import level_anchors, strides
from bodystream.models.nets.rcnn.boxes import clip, large, nms_within
from bodystream.models.nets.rcnn.cse_head import Embedder, EmbeddingOutput, EmbeddingPredictor
from bodystream.models.nets.rcnn.densepose_head import DenseOutput
from bodystream.models.nets.rcnn.pooling import pool
from bodystream.models.nets.rcnn.rpn import Rpn, best_of_levels, proposals

DIVISOR = 32  # H and W of the network's input are multiples of it, so that the pyramid's levels fit together


@dataclass(frozen=True, slots=True)
class Spec:
    """What an R-CNN is made of."""

    trunk: str  # see `backbones.trunks`
    classes: int  # without background: 90 (torchvision's COCO ids, 1 first), 80 (detectron2's), 1
    person: int  # index of person among them
    mean: tuple[float, float, float]  # of pixels of 0..255, channels in the order of `bgr`
    std: tuple[float, float, float]
    bgr: bool
    short_side: int = (
        800  # px that a picture is scaled to, unless its long side became longer than `long_side`
    )
    long_side: int = 1333
    norm: str = "frozen"  # "frozen", "batch", "group" (trained from nothing)
    norm_eps: float = 0.0  # of frozen ones: torchvision's published detectors have none, detectron2's 1e-5
    width: int = 64  # channels of the trunk's first stage
    channels: int = 256  # of the pyramid
    stride_in_1x1: bool = False  # MSRA's ResNets, which detectron2 starts from
    background_first: bool = (
        True  # of the box head's classes and the mask head's; detectron2: last, without mask
    )
    rounded_anchors: bool = True  # whole pixels, strides by whole division (torchvision); detectron2: neither
    anchors: tuple[float, ...] = (32, 64, 128, 256, 512)  # px, P2..P6
    canonical: float = 224  # px: a box of this side is read from P4
    aligned: bool = False  # RoIAlign half a cell less: detectron2's ROIAlignV2
    sampling: int = 2  # samples of a bin each way; 0 as many as it has cells
    box_hidden: int = 1024
    pre_nms: int = 1000  # candidates of each level
    proposals: int = 1000  # of all levels together
    nms_iou: float = 0.7  # between proposals
    min_size: float = 1e-3  # px, smallest side of a proposal; detectron2: any that is not empty
    box_nms_iou: float = 0.5  # between detections of a class
    min_score: float = 0.05
    min_box: float = 1e-2  # px, smallest side of a detection; detectron2: none
    detections: int = 100
    mask: bool = False
    mask_convs: int = 4
    mask_channels: int = 256
    keypoints: int = 0  # joints; 0 no keypoint head
    keypoint_convs: int = 8
    keypoint_channels: int = 512
    dense: str = ""  # "v1convx", "deeplab", "cse" (whose head is v1convx's); "" none
    decoder: bool = False  # the pyramid merged into one map for the dense head
    decoder_channels: int = 256
    dense_convs: int = 8
    dense_channels: int = 512
    dense_bins: int = densepose_head.BINS  # a divisor of 56
    coarse: int = 2  # channels of the coarse segmentation: 2 or 15
    non_local: bool = False  # in the DeepLab head
    rpn_samples: int = 256  # anchors of a picture that are trained on
    box_samples: int = 512  # proposals of a picture that are
    head_samples: int = 128  # of these, objects' boxes that the other heads are trained on


TORCHVISION = Spec(
    trunk="resnet50",
    classes=90,
    person=0,
    mean=(255 * 0.485, 255 * 0.456, 255 * 0.406),
    std=(255 * 0.229, 255 * 0.224, 255 * 0.225),
    bgr=False,
)
# The base of detectron2's model zoo: `Base-RCNN-FPN.yaml` and its defaults.
DETECTRON2 = Spec(
    trunk="resnet50",
    classes=80,
    person=0,
    mean=(103.53, 116.28, 123.675),
    std=(1.0, 1.0, 1.0),
    bgr=True,
    norm_eps=1e-5,
    stride_in_1x1=True,
    background_first=False,
    rounded_anchors=False,
    aligned=True,
    sampling=0,
    min_size=1e-12,  # greater than zero is what is asked
    min_box=0.0,
)
# `Base-DensePose-RCNN-FPN.yaml` pools everything with ROIAlign of before ROIAlignV2.
DENSEPOSE = replace(DETECTRON2, classes=1, aligned=False, sampling=2, dense="v1convx", decoder=True)
# `densepose_rcnn_R_50_FPN_s1x_legacy.yaml`, the paper's: 14 coarse parts, no decoder, 14 × 14 bins. It was trained
# at 56 × 56 cells; here they are enlarged to 112 like the others'.
DENSEPOSE_LEGACY = replace(DENSEPOSE, decoder=False, coarse=15, dense_bins=14)

SYSTEMS: Mapping[str, Spec] = {
    "faster-rcnn-r50-fpn": TORCHVISION,
    # The trunks of the papers before ResNet, in the same pyramid; nobody publishes weights of these.
    "faster-rcnn-vgg16-fpn": replace(TORCHVISION, trunk="vgg16"),
    "faster-rcnn-densenet121-fpn": replace(TORCHVISION, trunk="densenet121"),
    "mask-rcnn-r50-fpn": replace(TORCHVISION, mask=True),
    "keypoint-rcnn-r50-fpn": replace(TORCHVISION, classes=1, keypoints=17),
    "faster-rcnn-r50-fpn-d2": DETECTRON2,
    "faster-rcnn-r101-fpn-d2": replace(DETECTRON2, trunk="resnet101"),
    "mask-rcnn-r50-fpn-d2": replace(DETECTRON2, mask=True),
    "mask-rcnn-r101-fpn-d2": replace(DETECTRON2, trunk="resnet101", mask=True),
    "keypoint-rcnn-r50-fpn-d2": replace(DETECTRON2, classes=1, keypoints=17),
    "keypoint-rcnn-r101-fpn-d2": replace(DETECTRON2, trunk="resnet101", classes=1, keypoints=17),
    "densepose-r50-fpn-s1x": DENSEPOSE,
    "densepose-r50-fpn-dl-s1x": replace(DENSEPOSE, dense="deeplab"),
    "densepose-r101-fpn-s1x": replace(DENSEPOSE, trunk="resnet101"),
    "densepose-r101-fpn-dl-s1x": replace(DENSEPOSE, trunk="resnet101", dense="deeplab"),
    "densepose-r50-fpn-s1x-legacy": DENSEPOSE_LEGACY,
    "densepose-r101-fpn-s1x-legacy": replace(DENSEPOSE_LEGACY, trunk="resnet101"),
    "densepose-cse-r50-fpn-s1x": replace(DENSEPOSE, dense="cse"),
    # Ours, of a size that two cores train in an hour: people of 40..300 px in pictures of about 320 px.
    "rcnn-s": Spec(
        trunk="resnet18",
        classes=1,
        person=0,
        mean=TORCHVISION.mean,
        std=TORCHVISION.std,
        bgr=False,
        short_side=256,
        long_side=320,
        norm="group",
        width=32,
        channels=64,
        anchors=(16, 32, 64, 128, 256),
        canonical=224,  # as the paper, in pictures a third as large: parts of limbs are a few px wide
        box_hidden=128,
        pre_nms=300,
        proposals=200,
        detections=30,
        mask=True,
        mask_convs=2,
        mask_channels=64,
        dense="v1convx",
        dense_convs=3,
        dense_channels=96,
        dense_bins=14,
        rpn_samples=128,
        box_samples=64,
        head_samples=8,
    ),
}


class Detections(NamedTuple):
    """What was found in a picture, best first: N boxes, of all classes. Absent heads give None."""

    boxes: Tensor  # float32 (N, 4), px of the network's input, cut at the picture
    scores: Tensor  # float32 (N,), 0..1
    labels: Tensor  # int64 (N,), of the foreground classes
    masks: Tensor | None  # float32 (N, 28, 28), 0..1, over the box, of the label
    keypoints: Tensor | None  # float32 (N, J, 56, 56), logits over the box
    dense: DenseOutput | EmbeddingOutput | None  # 112 × 112 over the box


class Backbone(nn.Module):
    """Trunk and pyramid."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.body: Trunk = trunk(
            spec.trunk,
            norm=norm(spec.norm, spec.norm_eps),
            width=spec.width,
            stride_in_1x1=spec.stride_in_1x1,
        )
        self.fpn = FeaturePyramid(self.body.channels, spec.channels)

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) to P2..P6."""
        pyramid: tuple[Tensor, ...] = self.fpn(self.body.stages(pictures))
        return pyramid


class RoiHeads(nn.Module):
    """The heads that a Spec asks for, under torchvision's and detectron2's names."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        of_masks = spec.classes + 1 if spec.background_first else spec.classes
        self.box_head = box_head.BoxHead(spec.channels, spec.box_hidden)
        self.box_predictor = box_head.BoxPredictor(spec.box_hidden, spec.classes, spec.background_first)
        if spec.mask:
            self.mask_head = mask_head.MaskHead(spec.channels, spec.mask_channels, spec.mask_convs)
            self.mask_predictor = mask_head.MaskPredictor(spec.mask_channels, of_masks)
        if spec.keypoints:
            wide = spec.keypoint_channels
            self.keypoint_head = keypoint_head.KeypointHead(spec.channels, wide, spec.keypoint_convs)
            self.keypoint_predictor = keypoint_head.KeypointPredictor(wide, spec.keypoints)
        if spec.dense:
            if spec.decoder:
                self.decoder = densepose_head.Decoder(spec.channels, spec.decoder_channels, spec.channels)
            before, wide = spec.channels, spec.dense_channels
            self.densepose_head: nn.Module = (
                densepose_head.DeepLabHead(before, wide, spec.dense_convs, spec.non_local)
                if spec.dense == "deeplab"
                else densepose_head.V1ConvXHead(before, wide, spec.dense_convs)
            )
            self.densepose_predictor = (
                EmbeddingPredictor(wide, spec.coarse)
                if spec.dense == "cse"
                else densepose_head.ChartPredictor(wide, spec.coarse)
            )
            if spec.dense == "cse":
                self.embedder = Embedder()


class Rcnn(nn.Module):
    """The network of a Spec.

    A pyramid is P2..P6, float32 (B, C, H/4, W/4) and on. Rois are float32 (R, 5): the picture's number, then x0,
    y0, x1, y1 in px of the network's input. No rois are as good as some.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = Backbone(spec)
        self.rpn = Rpn(spec.channels)
        self.roi_heads = RoiHeads(spec)
        self.register_buffer("mean", torch.tensor(spec.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(spec.std)[:, None, None], persistent=False)

    def normalised(self, images: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) BGR to float32 (B, 3, H, W)."""
        pictures = images.permute(0, 3, 1, 2).to(self.mean.dtype)  # (B, 3, H, W)
        return ((pictures if self.spec.bgr else pictures.flip(1)) - self.mean) / self.std

    def pyramid(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Normalised pictures (B, 3, H, W), H and W multiples of 32, to P2..P6; the last is the RPN's only."""
        return self.backbone(pictures)

    def anchors(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        """Anchors of each level, float32 (rows · columns · 3, 4) px."""
        shapes = [(level.shape[2], level.shape[3]) for level in pyramid]
        picture = (shapes[0][0] * 4, shapes[0][1] * 4)
        steps = strides(shapes, picture, exact=not self.spec.rounded_anchors)
        return [
            level_anchors(shape, step, size, self.spec.rounded_anchors, level.device)
            for shape, step, size, level in zip(shapes, steps, self.spec.anchors, pyramid, strict=True)
        ]

    def candidates(self, pyramid: Sequence[Tensor], size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the RPN thinks likeliest on each level, before any suppression, best of a level first.

        `size` is (h, w) of the pictures in px, float32 (2,) or (B, 2). Returns boxes (B, M, 4) cut at it, logits
        (B, M) and levels int64 (M,), 0 for P2.
        """
        logits, codes = self.rpn(pyramid)
        return best_of_levels(logits, codes, self.anchors(pyramid), size, self.spec.pre_nms)

    def proposals(self, boxes: Tensor, logits: Tensor, levels: Tensor) -> Tensor:
        """Of one picture's candidates (M, 4), (M,), (M,) those that stay, (P, 4), best first."""
        spec = self.spec
        return proposals(boxes, logits, levels, spec.nms_iou, spec.proposals, spec.min_size)

    def box_outputs(self, pyramid: Sequence[Tensor], rois: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities (R, C) of the foreground classes and their boxes (R, C, 4), not cut at the picture."""
        logits, codes = self.box_logits(pyramid, rois)
        scores, codes = box_head.foreground(logits, codes, self.spec.background_first)
        return scores, box_head.refined(codes, rois[:, 1:])

    def box_logits(self, pyramid: Sequence[Tensor], rois: Tensor) -> tuple[Tensor, Tensor]:
        """What the box head's layers give: see `box_head.BoxPredictor`."""
        heads = self.roi_heads
        return heads.box_predictor(heads.box_head(self.pooled(pyramid, rois, box_head.BINS)))

    def masks(self, pyramid: Sequence[Tensor], rois: Tensor) -> Tensor:
        """Probabilities (R, 28, 28) over the box that a cell is the person's."""
        return self.mask_logits(pyramid, rois)[:, self.spec.person].sigmoid()  # (R, 28, 28)

    def mask_logits(self, pyramid: Sequence[Tensor], rois: Tensor) -> Tensor:
        """Of all foreground classes: (R, C, 28, 28)."""
        heads = self.roi_heads
        logits = heads.mask_predictor(heads.mask_head(self.pooled(pyramid, rois, mask_head.BINS)))
        return logits[:, 1:] if self.spec.background_first else logits  # (R, C, 28, 28)

    def keypoint_heatmaps(self, pyramid: Sequence[Tensor], rois: Tensor) -> Tensor:
        """Logits (R, J, 56, 56) over the box of where each joint is."""
        heads = self.roi_heads
        pooled = self.pooled(pyramid, rois, keypoint_head.BINS)
        return heads.keypoint_predictor(heads.keypoint_head(pooled))  # (R, J, 56, 56)

    def decoded(self, pyramid: Sequence[Tensor]) -> Tensor:
        """P2..P5 merged into one map (B, C, H/4, W/4), where the Spec has a decoder."""
        return self.roi_heads.decoder(pyramid[: len(densepose_head.LEVELS)])

    def dense(self, pyramid: Sequence[Tensor], rois: Tensor) -> DenseOutput | EmbeddingOutput:
        """Charts or embeddings, 112 × 112 over the box."""
        return self.dense_from(self.dense_maps(pyramid), rois)

    def dense_maps(self, pyramid: Sequence[Tensor]) -> Sequence[Tensor]:
        """What the dense head reads: the decoded map alone, or P2..P5."""
        return (self.decoded(pyramid),) if self.spec.decoder else pyramid

    def dense_from(self, maps: Sequence[Tensor], rois: Tensor) -> DenseOutput | EmbeddingOutput:
        """As `dense`, from `dense_maps`."""
        return self.roi_heads.densepose_predictor(self.dense_features(maps, rois))

    def dense_features(self, maps: Sequence[Tensor], rois: Tensor) -> Tensor:
        """What the predictor of the dense head sees: (R, C, 28, 28)."""
        return self.roi_heads.densepose_head(self.pooled(maps, rois, self.spec.dense_bins))

    def pooled(self, pyramid: Sequence[Tensor], rois: Tensor, bins: int) -> Tensor:
        """Boxes read from P2..P5, or from a single map: (R, C, bins, bins)."""
        spec = self.spec
        return pool(pyramid[:4], rois, bins, spec.sampling, spec.aligned, spec.canonical)

    def detected(self, scores: Tensor, boxes: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of one picture's `box_outputs`: boxes (N, 4) cut at (h, w), scores (N,), labels (N,), best first."""
        spec = self.spec
        boxes = clip(boxes, size)  # (R, C, 4)
        likely = (scores > spec.min_score) & large(boxes.flatten(0, 1), spec.min_box).view_as(scores)
        roi, label = likely.nonzero(as_tuple=True)
        boxes, scores = boxes[roi, label], scores[roi, label]
        kept = nms_within(boxes, scores, label, spec.box_nms_iou)[: spec.detections]
        return boxes[kept], scores[kept], label[kept]

    def forward(self, image: Tensor) -> Detections:
        """Everything that the heads say of one picture, uint8 (1, H, W, 3) BGR, already scaled."""
        h, w = image.shape[1:3]
        size = torch.tensor([h, w], dtype=torch.float32, device=image.device)
        pictures = F.pad(self.normalised(image), (0, -w % DIVISOR, 0, -h % DIVISOR))  # (1, 3, H', W')
        pyramid = self.pyramid(pictures)
        boxes, logits, levels = self.candidates(pyramid, size)
        rois = with_picture(self.proposals(boxes[0], logits[0], levels), 0)
        boxes, scores, labels = self.detected(*self.box_outputs(pyramid, rois), size)
        rois = with_picture(boxes, 0)
        spec = self.spec
        each = torch.arange(len(rois), device=rois.device)
        return Detections(
            boxes,
            scores,
            labels,
            masks=self.mask_logits(pyramid, rois)[each, labels].sigmoid() if spec.mask else None,
            keypoints=self.keypoint_heatmaps(pyramid, rois) if spec.keypoints else None,
            dense=self.dense(pyramid, rois) if spec.dense else None,
        )


def with_picture(boxes: Tensor, number: int) -> Tensor:
    """Boxes (R, 4) of a picture as rois (R, 5)."""
    return F.pad(boxes, (1, 0), value=float(number))
