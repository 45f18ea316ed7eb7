"""Classifiers by themselves: pixels in, logits out."""

import copy

from torch import Tensor, nn

from bodystream.export.pixels import Ink, Pixels
from bodystream.export.to_onnx import Exportable, pictures
from bodystream.models.nets.backbones.googlenet import GoogLeNet
from bodystream.models.nets.backbones.lenet import HIGH, LOW, LeNet5

TOLERANCES = {"logits": 1e-4}  # of the largest value; of 1 at least
HALF = (0.5, 0.5, 0.5)  # GoogLeNet's mean and deviation: see its module


class ClassifierForExport(nn.Module):
    """Input: uint8 (N, H, W, 3) BGR. Output: logits float32 (N, classes)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).eval()
        self.pixels = pixels_of(net)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """See the class."""
        return (self.net(self.pixels(images)),)  # (N, classes)


class DigitsForExport(ClassifierForExport):
    """Input: uint8 (N, 32, 32) grey, 0 paper to 255 ink. Output: logits float32 (N, classes)."""


def pixels_of(net: nn.Module) -> nn.Module:
    """What makes a classifier's input of pixels: uint8 (N, 32, 32) of ink for LeNet-5, else (N, H, W, 3) BGR."""
    if isinstance(net, LeNet5):
        return Ink(LOW, HIGH)
    return Pixels(HALF, HALF) if isinstance(net, GoogLeNet) else Pixels()


def classifier_exportable(net: nn.Module, size: int) -> Exportable:
    """A classifier of `models.nets.backbones` to be exported for pictures of `size` × `size` px."""
    grey = isinstance(net, LeNet5)
    module = DigitsForExport(net) if grey else ClassifierForExport(net)
    example = pictures("images", size, size) if grey else pictures("images", size, size, 3)
    return Exportable(module, example, TOLERANCES, growing=TOLERANCES)
