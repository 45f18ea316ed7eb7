"""The region proposal network: where in the picture anything is.

Ren et al., "Faster R-CNN", 2015 (arXiv:1506.01497), section 3, on every level of a pyramid (Lin et al., 2017,
arXiv:1612.03144, section 4.1). Each level's best boxes go on to non-maximum suppression within the level; the
best of what all levels keep are the proposals. torchvision and detectron2 agree here but for the smallest box.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bodystream.models.nets.rcnn.anchors import RATIOS
from bodystream.models.nets.rcnn.boxes import RPN_WEIGHTS, clip, decode, large, nms_within


class RpnHead(nn.Module):
    """The small network that slides over each level. Parameters are named as torchvision's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1)))
        self.cls_logits = nn.Conv2d(channels, len(RATIOS), 1)
        self.bbox_pred = nn.Conv2d(channels, 4 * len(RATIOS), 1)
        for each in self.modules():
            if isinstance(each, nn.Conv2d):  # section 3.3
                nn.init.normal_(each.weight, std=0.01)
                assert each.bias is not None  # told to the type checker
                nn.init.zeros_(each.bias)

    def forward(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """Level (B, C, H, W): logits (B, H · W · 3) that an anchor holds anything, and codes (B, H · W · 3, 4)."""
        shared = F.relu(self.conv(level))  # (B, C, H, W)
        logits = self.cls_logits(shared).permute(0, 2, 3, 1).flatten(1)  # (B, H · W · 3)
        codes = (
            self.bbox_pred(shared).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4))
        )  # (B, H · W · 3, 4)
        return logits, codes


class Rpn(nn.Module):
    """Holds the head under the name that torchvision gives it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.head = RpnHead(channels)

    def forward(self, pyramid: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Logits and codes of each level, see `RpnHead`."""
        said = [self.head(level) for level in pyramid]
        return [logits for logits, _ in said], [codes for _, codes in said]


def best_of_levels(
    logits: Sequence[Tensor], codes: Sequence[Tensor], anchors: Sequence[Tensor], size: Tensor, most: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The `most` likeliest boxes of each level: boxes (B, M, 4) cut at the picture, logits (B, M), levels (M,).

    Anchors are (A, 4) for each level; size is (h, w), float32 (2,) or (B, 2). Within a level the best come first.
    """
    boxes, kept_logits, levels = [], [], []
    limit = size[:, None] if size.ndim == 2 else size
    for number, (level_logits, level_codes, level_anchors) in enumerate(
        zip(logits, codes, anchors, strict=True)
    ):
        count = min(most, level_logits.shape[1])
        best, index = level_logits.topk(count, dim=1)  # (B, count)
        its_codes = level_codes.gather(1, index[:, :, None].expand(-1, -1, 4))  # (B, count, 4)
        boxes.append(clip(decode(its_codes, level_anchors[index], RPN_WEIGHTS), limit))  # (B, count, 4)
        kept_logits.append(best)
        levels.append(torch.full((count,), number, dtype=torch.int64, device=best.device))
    return torch.cat(boxes, dim=1), torch.cat(kept_logits, dim=1), torch.cat(levels)


def proposals(
    boxes: Tensor, logits: Tensor, levels: Tensor, threshold: float, most: int, min_side: float
) -> Tensor:
    """Of one picture's candidates, boxes (M, 4), logits (M,), levels (M,): the boxes that stay, (P, 4), best first."""
    kept = large(boxes, min_side).nonzero()[:, 0]
    kept = kept[nms_within(boxes[kept], logits[kept], levels[kept], threshold)][:most]
    return boxes[kept]  # (P, 4)
