"""The box head: which class a proposal is, and where its box is rather.

Girshick, "Fast R-CNN", 2015 (arXiv:1504.08083), section 2, in the form of Lin et al., 2017 (arXiv:1612.03144),
section 4.2: 7 × 7 bins, two hidden layers. The background is the first class in torchvision, the last in
detectron2, which gives it no box. Parameters are named as torchvision's.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from bodystream.models.nets.rcnn.boxes import BOX_WEIGHTS, decode

BINS = 7


class BoxHead(nn.Module):
    """Two fully connected layers."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc6 = nn.Linear(channels * BINS * BINS, hidden)
        self.fc7 = nn.Linear(hidden, hidden)

    def forward(self, pooled: Tensor) -> Tensor:
        """(R, C, 7, 7) to (R, hidden)."""
        return F.relu(self.fc7(F.relu(self.fc6(pooled.flatten(1)))))  # (R, hidden)


class BoxPredictor(nn.Module):
    """Class logits and, for every class, the box's code."""

    def __init__(self, hidden: int, classes: int, background_first: bool) -> None:
        super().__init__()
        self.cls_score = nn.Linear(hidden, classes + 1)
        self.bbox_pred = nn.Linear(hidden, 4 * (classes + 1 if background_first else classes))
        for layer, deviation in ((self.cls_score, 0.01), (self.bbox_pred, 0.001)):  # Fast R-CNN, section 2.3
            nn.init.normal_(layer.weight, std=deviation)
            nn.init.zeros_(layer.bias)

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """(R, hidden) to logits (R, classes + 1) and codes (R, classes or one more, 4)."""
        return self.cls_score(hidden), self.bbox_pred(hidden).unflatten(1, (-1, 4))


def foreground(logits: Tensor, codes: Tensor, background_first: bool) -> tuple[Tensor, Tensor]:
    """Probabilities (R, C) and codes (R, C, 4) of the classes that are not background."""
    scores = logits.softmax(-1)  # (R, C + 1)
    return (scores[:, 1:], codes[:, 1:]) if background_first else (scores[:, :-1], codes)


def refined(codes: Tensor, boxes: Tensor) -> Tensor:
    """The boxes that codes (R, C, 4) make of the proposals (R, 4): (R, C, 4), not cut at the picture."""
    return decode(codes, boxes[:, None], BOX_WEIGHTS)  # (R, C, 4)
