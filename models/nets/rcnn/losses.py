"""What an R-CNN is trained on: the losses of its papers, all heads at once.

RPN and boxes: Ren et al., 2015 (arXiv:1506.01497), equation 1, and Girshick, 2015 (arXiv:1504.08083), section
2.3, with torchvision's constants. Masks and keypoints: He et al., 2017 (arXiv:1703.06870), sections 3 and 5.
Charts: Güler et al., 2018 (arXiv:1802.00434), section 3.1, weighted as in detectron2's project DensePose; there
some hundred annotated points to a person are compared, here every cell of the head's own grid, since rendered
people are known everywhere. Embeddings: Neverova et al., 2020 (arXiv:2011.12438), section 3.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bodystream.models.nets.rcnn.boxes import BOX_WEIGHTS, RPN_WEIGHTS, encode, iou
from bodystream.models.nets.rcnn.cse_head import Embedder, EmbeddingOutput, embedding_loss
from bodystream.models.nets.rcnn.densepose_head import DenseOutput
from bodystream.models.nets.rcnn.matching import drawn, match, sample
from bodystream.models.nets.rcnn.rpn import best_of_levels
from bodystream.models.nets.rcnn.system import Rcnn, with_picture

RPN_LOW, RPN_HIGH = 0.3, 0.7  # overlaps, Faster R-CNN, section 3.1.2
BOX_IOU = 0.5  # from here on a proposal is an object's
RPN_SHARE, BOX_SHARE = 0.5, 0.25  # of objects among the boxes drawn: sections 3.1.3; Fast R-CNN, 2.3
BETA = 1 / 9  # where smooth L1 turns from square to straight, torchvision's

# detectron2's DensePose: index, part and point regression weights 5, 1 and .01, the last on a sum over points. A
# person has about a hundred, so that it is the mean over a person's points, summed over people; a batch of ours
# holds about ten.
COARSE, FINE, UV = 5.0, 1.0, 10.0

EMBEDDING = 0.6  # its EMBED_LOSS_WEIGHT
VERTEX_SIGMA = 0.01  # its EMBEDDING_DIST_GAUSS_SIGMA
VERTEX_CELLS = 512  # of a batch: each is compared with all vertices of the mesh


@dataclass(frozen=True, slots=True)
class Targets:
    """What is to be found in one picture: N people (or things), none as good as many.

    Maps are of any size h × w and cover the person's frame, a box that may be larger or smaller than the person's
    own, for example the whole picture. What a head that the network has is not told of is not trained.
    """

    boxes: Tensor  # float32 (N, 4): x0, y0, x1, y1 in px of the network's input, of what is visible
    labels: Tensor  # int64 (N,): 0.. of the foreground classes
    frames: Tensor | None = None  # float32 (N, 4), px: where the maps lie
    masks: Tensor | None = None  # bool, uint8 0/1 or float32 0..1 (N, h, w): what is visible of the person
    parts: Tensor | None = None  # uint8 or int64 (N, h, w): chart 1..24 that the pixel shows, 0 none
    uv: Tensor | None = None  # float32 (N, 2, h, w): 0..1 on that chart, anything where the part is 0
    keypoints: Tensor | None = None  # float32 (N, J, 3): x, y in px of the network's input, visible if not 0
    vertices: Tensor | None = None  # int64 (N, h, w): nearest vertex of the mesh, −1 none (embeddings)


def rcnn_losses(
    net: Rcnn, pictures: Tensor, targets: Sequence[Targets], generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """Losses by name, each a scalar to be summed; of B normalised pictures (B, 3, H, W) filled to the edge.

    Always "objectness", "rpn_box", "class", "box"; "mask", "keypoint", "coarse", "fine", "uv", "embedding" where
    the network has the head. `generator` draws which boxes count.
    """
    spec = net.spec
    pyramid = net.pyramid(pictures)
    anchors = net.anchors(pyramid)
    logits, codes = net.rpn(pyramid)
    losses = rpn_losses(
        torch.cat(logits, 1), torch.cat(codes, 1), torch.cat(anchors), targets, spec.rpn_samples, generator
    )

    size = pictures.new_tensor(pictures.shape[2:])
    with torch.no_grad():
        boxes, scores, levels = best_of_levels(
            [each.detach() for each in logits], [each.detach() for each in codes], anchors, size, spec.pre_nms
        )
        chosen = [
            choose(net.proposals(boxes[b], scores[b], levels), each, b, spec.box_samples, generator)
            for b, each in enumerate(targets)
        ]
    rois = torch.cat([each.rois for each in chosen])
    losses |= box_losses(net, *net.box_logits(pyramid, rois), chosen, targets)
    if not (spec.mask or spec.keypoints or spec.dense):
        return losses

    objects = [found(each, spec.head_samples) for each in chosen]
    rois = torch.cat([each.rois for each in objects])
    if spec.mask:
        losses["mask"] = mask_loss(net.mask_logits(pyramid, rois), objects, targets)
    if spec.keypoints:
        losses["keypoint"] = keypoint_loss(net.keypoint_heatmaps(pyramid, rois), objects, targets)
    if spec.dense:
        features = net.dense_features(net.dense_maps(pyramid), rois)
        out = net.roi_heads.densepose_predictor.unenlarged(features)
        if isinstance(out, DenseOutput):
            losses |= chart_losses(out, objects, targets)
        else:
            losses |= embedding_losses(out, net.roi_heads.embedder, objects, targets, generator)
    return losses


def rpn_losses(
    logits: Tensor,
    codes: Tensor,
    anchors: Tensor,
    targets: Sequence[Targets],
    count: int,
    generator: torch.Generator | None,
) -> dict[str, Tensor]:
    """Of logits (B, A) and codes (B, A, 4) of the anchors (A, 4), `count` of which are drawn in each picture."""
    said, truth, regressed, wanted = [], [], [], []
    for b, each in enumerate(targets):
        matched = match(iou(each.boxes, anchors), RPN_LOW, RPN_HIGH, best_too=True)  # (A,)
        positive, negative = sample(matched, count, RPN_SHARE, generator)
        said += [logits[b, positive], logits[b, negative]]
        truth += [torch.ones_like(said[-2]), torch.zeros_like(said[-1])]
        regressed.append(codes[b, positive])
        wanted.append(encode(each.boxes[matched[positive]], anchors[positive], RPN_WEIGHTS))
    known = torch.cat(said)
    distance = F.smooth_l1_loss(torch.cat(regressed), torch.cat(wanted), beta=BETA, reduction="sum")
    return {
        "objectness": F.binary_cross_entropy_with_logits(known, torch.cat(truth)),
        "rpn_box": distance / len(known),
    }


@dataclass(frozen=True, slots=True)
class Chosen:
    """Boxes of one picture that are trained on, those of objects first."""

    rois: Tensor  # (R, 5)
    whose: Tensor  # int64 (P,), P ≤ R: the object of the first P


def choose(
    proposals: Tensor, targets: Targets, picture: int, count: int, generator: torch.Generator | None
) -> Chosen:
    """Draws from the proposals (P, 4) and the true boxes themselves."""
    boxes = torch.cat([proposals, targets.boxes])  # (P + N, 4)
    matched = match(iou(targets.boxes, boxes), BOX_IOU, BOX_IOU, best_too=False)
    positive, negative = sample(matched, count, BOX_SHARE, generator)
    return Chosen(with_picture(boxes[torch.cat([positive, negative])], picture), matched[positive])


def found(chosen: Chosen, most: int) -> Chosen:
    """The first `most` of the objects' boxes; they are drawn in any order."""
    whose = chosen.whose[:most]
    return Chosen(chosen.rois[: len(whose)], whose)


def box_losses(
    net: Rcnn, logits: Tensor, codes: Tensor, chosen: Sequence[Chosen], targets: Sequence[Targets]
) -> dict[str, Tensor]:
    """Class and box of the rois (R,) of all pictures, from logits (R, C + 1) and codes (R, C or C + 1, 4)."""
    first = net.spec.background_first
    background = 0 if first else net.spec.classes
    classes, places, columns, wanted = [], [], [], []
    before = 0
    for each, target in zip(chosen, targets, strict=True):
        labels = target.labels[each.whose] + (1 if first else 0)  # (P,)
        rest = labels.new_full((len(each.rois) - len(labels),), background)
        classes.append(torch.cat([labels, rest]))
        places.append(before + torch.arange(len(labels), device=labels.device))
        columns.append(labels)
        boxes = each.rois[: len(labels), 1:]
        wanted.append(encode(target.boxes[each.whose], boxes, BOX_WEIGHTS))
        before += len(each.rois)
    said = codes[torch.cat(places), torch.cat(columns)]  # (P of all, 4)
    distance = F.smooth_l1_loss(said, torch.cat(wanted), beta=BETA, reduction="sum")
    return {
        "class": F.cross_entropy(logits, torch.cat(classes)),
        "box": distance / max(1, len(logits)),
    }


def mask_loss(logits: Tensor, objects: Sequence[Chosen], targets: Sequence[Targets]) -> Tensor:
    """Binary cross entropy of the masks (R, C, 28, 28) of each object's own class."""
    told = [each.masks is not None for each in targets]
    rows = rows_of(objects, told)
    if not len(rows):
        return logits.sum() * 0
    labels = torch.cat([t.labels[o.whose] for o, t, ok in zip(objects, targets, told, strict=True) if ok])
    truth = torch.cat(
        [
            seen(t.masks.float()[:, None], t, o, logits.shape[-1], "bilinear")[:, 0]
            for o, t in zip(objects, targets, strict=True)
            if t.masks is not None
        ]
    )  # (R, 28, 28)
    return F.binary_cross_entropy_with_logits(logits[rows, labels], truth.clamp(0, 1))


def keypoint_loss(logits: Tensor, objects: Sequence[Chosen], targets: Sequence[Targets]) -> Tensor:
    """Cross entropy over the places of each visible joint: heatmaps (R, J, 56, 56)."""
    told = [each.keypoints is not None for each in targets]
    rows = rows_of(objects, told)
    if not len(rows):
        return logits.sum() * 0
    joints = torch.cat(
        [t.keypoints[o.whose] for o, t in zip(objects, targets, strict=True) if t.keypoints is not None]
    )  # (R, J, 3)
    boxes = torch.cat([o.rois for o, ok in zip(objects, told, strict=True) if ok])[:, None, 1:]  # (R, 1, 4)
    cells = logits.shape[-1]
    inside = (joints[..., :2] - boxes[..., :2]) / (boxes[..., 2:] - boxes[..., :2])  # (R, J, 2), 0..1
    # A joint on the right or lower edge belongs to the last cell.
    x, y = (inside * cells).floor().clamp(max=cells).where(inside != 1, cells - 1).long().unbind(-1)
    counts = (joints[..., 2] > 0) & (inside >= 0).all(-1) & (inside <= 1).all(-1)  # (R, J)
    if not counts.any():
        return logits.sum() * 0
    return F.cross_entropy(logits[rows][counts].flatten(1), (y * cells + x)[counts])


def chart_losses(
    out: DenseOutput, objects: Sequence[Chosen], targets: Sequence[Targets]
) -> dict[str, Tensor]:
    """Person or not everywhere; chart, and U, V on the right one, where a chart is seen. Two coarse channels."""
    told = [each.parts is not None and each.uv is not None for each in targets]
    rows = rows_of(objects, told)
    nothing = {"coarse": out.coarse.sum() * 0, "fine": out.fine.sum() * 0, "uv": (out.u + out.v).sum() * 0}
    if not len(rows):
        return nothing
    cells = out.fine.shape[-1]
    maps = torch.cat(
        [
            seen(torch.cat([t.parts.float()[:, None], t.uv], dim=1), t, o, cells, "nearest")
            for o, t in zip(objects, targets, strict=True)
            if t.parts is not None and t.uv is not None
        ]
    )  # (R, 3, h, h)
    part = maps[:, 0].round().long()  # (R, h, h)
    person = part > 0
    coarse = F.cross_entropy(out.coarse[rows], person.long())
    if not person.any():
        return nothing | {"coarse": COARSE * coarse}
    roi, y, x = person.nonzero(as_tuple=True)
    chart = part[roi, y, x]  # (P,)
    fine = out.fine[rows][roi, :, y, x]  # (P, 25)
    said = torch.stack([each[rows][roi, chart, y, x] for each in (out.u, out.v)], dim=1)  # (P, 2)
    return {
        "coarse": COARSE * coarse,
        "fine": FINE * F.cross_entropy(fine, chart),
        "uv": UV * F.smooth_l1_loss(said, maps[roi, 1:, y, x]),
    }


def embedding_losses(
    out: EmbeddingOutput,
    embedder: Embedder,
    objects: Sequence[Chosen],
    targets: Sequence[Targets],
    generator: torch.Generator | None,
) -> dict[str, Tensor]:
    """Person or not everywhere; the vertex where one is seen."""
    told = [each.vertices is not None for each in targets]
    rows = rows_of(objects, told)
    if not len(rows):
        return {"coarse": out.coarse.sum() * 0, "embedding": out.embedding.sum() * 0}
    maps = torch.cat(
        [
            # In double precision every vertex's number is exact; zero, no vertex, is what lies outside the frame.
            seen(t.vertices.double()[:, None] + 1, t, o, out.embedding.shape[-1], "nearest")[:, 0]
            for o, t in zip(objects, targets, strict=True)
            if t.vertices is not None
        ]
    )  # (R, h, h)
    vertex = maps.round().long() - 1
    roi, y, x = (vertex >= 0).nonzero(as_tuple=True)
    few = drawn(torch.arange(len(roi), device=roi.device), VERTEX_CELLS, generator)
    roi, y, x = roi[few], y[few], x[few]
    pixels = out.embedding[rows][roi, :, y, x]  # (P, 16)
    return {
        "coarse": COARSE * F.cross_entropy(out.coarse[rows], (vertex >= 0).long()),
        "embedding": EMBEDDING * embedding_loss(pixels, embedder(), vertex[roi, y, x], VERTEX_SIGMA),
    }


def rows_of(objects: Sequence[Chosen], told: Sequence[bool]) -> Tensor:
    """Which rows of all pictures' objects belong to pictures that tell: int64 (R',)."""
    flags = [each.whose.new_full((len(each.whose),), int(ok)) for each, ok in zip(objects, told, strict=True)]
    return torch.cat(flags).nonzero()[:, 0]


def seen(maps: Tensor, targets: Targets, chosen: Chosen, cells: int, mode: str) -> Tensor:
    """The objects' maps (N, C, h, w) as seen through the boxes: (R, C, cells, cells), zero outside the frame.

    Each cell takes what lies at its middle. Raises ValueError for maps without frames.
    """
    if targets.frames is None:
        raise ValueError("targets have maps but no frames; give the box that each person's maps cover")
    frame = targets.frames[chosen.whose]  # (R, 4)
    boxes = chosen.rois[:, 1:]
    middles = (torch.arange(cells, device=boxes.device) + 0.5) / cells  # (cells,)
    size = frame[:, 2:] - frame[:, :2]  # (R, 2)
    places = boxes[:, None, :2] + middles[:, None] * (boxes[:, 2:] - boxes[:, :2])[:, None]  # (R, cells, 2)
    in_frame = (places - frame[:, None, :2]) / size[:, None] * 2 - 1  # (R, cells, 2), −1..1
    x, y = in_frame.unbind(-1)
    grid = torch.stack([x[:, None].expand(-1, cells, -1), y[:, :, None].expand(-1, -1, cells)], dim=-1)
    return F.grid_sample(maps[chosen.whose], grid.to(maps.dtype), mode=mode, align_corners=False)
