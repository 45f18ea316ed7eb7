"""lift-s as the pipeline wants it: it is exported as it is."""

import torch
from torch import Tensor, nn

from bodystream.export.to_onnx import Tensors
from bodystream.models.lift_layout import INPUTS, SURE
from bodystream.models.nets.lift import Lift

TOLERANCES = {"joints": 1e-5}  # of SIZE_M: a hundredth of a millimetre


class LiftForExport(nn.Module):
    """Input: float32 (N, 93), see `models.lift_layout`.

    Output: joints float32 (N, 15, 3): x, y, z of SIZE_M, from between the hips, in the view's axes.
    """

    def __init__(self, net: Lift) -> None:
        super().__init__()
        self.net = net

    def forward(self, inputs: Tensor) -> tuple[Tensor]:
        """See the class."""
        return (self.net(inputs),)


def example(batch: int) -> Tensors:
    """Noise of about the right size; the same at every call."""
    generator = torch.Generator().manual_seed(batch)
    inputs = 0.5 * torch.randn(batch, INPUTS, generator=generator)
    inputs[:, SURE] = torch.rand(batch, SURE.stop - SURE.start, generator=generator)
    return {"person": inputs}
