"""What the detector's ONNX file is made from: a resized picture in, boxes and scores out, before NMS."""

import copy

import torch
from torch import Tensor, nn

from bodystream.models.nets.picodet import INPUT_SIZE, LevelOutputs, PicoDet

PERSON = 0  # COCO's first class
# ImageNet's RGB mean and deviation, on the scale 0..255: `NormalizeImage` of the model's `infer_cfg.yml`.
MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
DEVIATION = (0.229 * 255, 0.224 * 255, 0.225 * 255)

INPUT_NAME = "image"
OUTPUT_NAMES = ("boxes", "scores")
# How far onnxruntime may be from torch, absolutely. Boxes reach some 700 px at stride 64, where the last
# digits of a logit come to 2e-3 px. A score is a square root: near zero it makes 7e-5 of the 1e-9 by which
# two implementations of the sigmoid differ. Where a score is above 0.01 both are within 1e-3 px and 1e-5.
TOLERANCE = {"boxes": 5e-3, "scores": 2e-4}


class DetectorForExport(nn.Module):
    """PicoDet for people alone, from raw pixels to boxes in px.

    `forward` takes uint8 (N, 416, 416, 3), BGR, the whole picture resized without regard to its aspect, and
    returns boxes float32 (N, 3598, 4), x0 y0 x1 y1 in px of that input, and scores float32 (N, 3598), 0..1.
    The net itself is left as it is; the copy here has one class, and the normalisation in its weights.
    """

    mean: Tensor

    def __init__(self, net: PicoDet) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).eval()
        self.register_buffer("mean", torch.tensor(MEAN).flip(0).reshape(1, 3, 1, 1))  # BGR
        _take_bgr_pixels(self.net.backbone.stem.conv)
        for outputs in self.net.outputs:
            assert isinstance(outputs, LevelOutputs)  # told to the type checker: ModuleList has no item type
            outputs.classes = _one_class(outputs.classes)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes and scores at every cell, as described above."""
        # The mean cannot go into the first convolution as well: that one pads with zeros, which are the mean.
        scores, logits = self.net(image.permute(0, 3, 1, 2).float() - self.mean)  # from (N, 3, 416, 416)
        return self.net.boxes(logits), scores[:, 0]  # (N, P, 4), (N, P)


def example(batch: int) -> Tensor:
    """An input of the right shape and type, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    shape = (batch, INPUT_SIZE, INPUT_SIZE, 3)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def _take_bgr_pixels(conv: nn.Conv2d) -> None:
    """Make the first convolution expect BGR pixels less their mean, not RGB deviations."""
    deviation = torch.tensor(DEVIATION).reshape(1, 3, 1, 1)
    conv.weight = nn.Parameter((conv.weight.detach() / deviation).flip(1))  # (16, 3, 3, 3)


def _one_class(conv: nn.Conv2d) -> nn.Conv2d:
    """Return the class head for people alone: 1 of its 80 filters."""
    if conv.bias is None:
        raise ValueError("the class head of PicoDet has a bias")
    only = nn.Conv2d(conv.in_channels, 1, kernel_size=1)
    only.weight = nn.Parameter(conv.weight.detach()[PERSON : PERSON + 1])  # (1, 96, 1, 1)
    only.bias = nn.Parameter(conv.bias.detach()[PERSON : PERSON + 1])  # (1,)
    return only
