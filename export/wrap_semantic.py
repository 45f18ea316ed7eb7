"""FCN and DeepLab as the pipeline wants them: a picture in, how probably each pixel is of a person out."""

import copy

import torch
from torch import Tensor, nn

from bodystream.export.pixels import RELATIVE, Pixels
from bodystream.export.to_onnx import Exportable, Tensors, pictures
from bodystream.models.nets.semantic.systems import PERSON

# A level of 255, where rounding tips over; `SemanticForExport.ties` are left out.
TOLERANCES = {"person": 1.0}


class SemanticForExport(nn.Module):
    """Input: uint8 (N, H, W, 3) BGR. Output: person uint8 (N, H, W), 0..255 for a probability of 0..1."""

    def __init__(self, net: nn.Module, person: int = PERSON) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).eval()
        self.pixels = Pixels()
        self.person = person

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """See the class."""
        logits = self.net(self.pixels(image))  # (N, classes, H, W)
        return ((self._probability(logits) * 255).round().to(torch.uint8),)  # (N, H, W)

    def _probability(self, logits: Tensor) -> Tensor:
        """The softmax, of one class alone: a sum that overflows leaves 0, which is right. (N, H, W)."""
        person = logits[:, self.person : self.person + 1]  # (N, 1, H, W)
        return 1 / (logits - person).exp().sum(1)  # (N, H, W)

    def ties(self, image: Tensor) -> Tensors:
        """Where logits' last digits decide, since they are large: bool (N, H, W).

        There an error of RELATIVE of the largest logit is more than half a level.
        """
        logits = self.net(self.pixels(image))  # (N, classes, H, W)
        found = self._probability(logits)  # (N, H, W)
        slope = 255 * found * (1 - found)  # (N, H, W): levels to 1 of the logit
        return {"person": slope * 2 * RELATIVE * logits.abs().max() > 0.5}  # (N, H, W)


def semantic_exportable(net: nn.Module, height: int, width: int) -> Exportable:
    """A semantic network of `models.nets.semantic` to be exported for pictures of one size, in px."""
    module = SemanticForExport(net)
    return Exportable(module, pictures("image", height, width, 3), TOLERANCES, ties=module.ties)
