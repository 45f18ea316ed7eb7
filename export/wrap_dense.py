"""dense-s as the pipeline wants it: the best part of the surface at every pixel, U, V there, how sure it is."""

import copy

import torch
from torch import Tensor, nn

from bodystream.export.to_onnx import Tensors
from bodystream.models.dense_layout import CELLS, CHANNELS, GRID, MASK, PART, PARTS
from bodystream.models.nets.correspondence import (
    CLASSES,
    SUB,
    Correspondence,
    CorrespondenceOutput,
    part_logits,
    uv_on,
)

# A level of 255, where rounding tips over, in the confidence. `CorrespondenceForExport.ties` are left out.
TOLERANCES = {"part": 0.0, "uv": 1e-4, "confidence": 1.0}
TIE = 1e-4  # logits nearer to each other may change places by rounding
LIMIT = 30.0  # of a logit: beyond it no doubt is left, and sums of exponentials stay finite

PIXELS = SUB * CELLS * CELLS
Candidates = tuple[Tensor, Tensor]  # logits (N, K, P), and which parts they are of: uint8 (N or 1, K, P or 1)


class CorrespondenceForExport(nn.Module):
    """Input: float32 (N, 48, 64, 64), see `models.dense_layout`.

    Outputs: part uint8 (N, 128, 128): the best of 1..24; uv float32 (N, 2, 128, 128): 0..1, on that part's
    chart; confidence uint8 (N, 128, 128): 0..255 for 0..1, the probability of that part, background counted.
    """

    ones: Tensor

    def __init__(self, net: Correspondence) -> None:
        super().__init__()
        self.net = copy.deepcopy(net)
        for name in ("entry", "down_32"):
            setattr(self.net, name, with_part(getattr(net, name)))
        self.net.logits = nn.Sequential(net.logits, nn.Hardtanh(-LIMIT, LIMIT))  # type: ignore[assignment]
        self.register_buffer("ones", torch.ones(1, 1, CLASSES), persistent=False)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class. P are the 4 · 64 · 64 pixels.

        The prior goes to one part of each pixel: that one alone is compared again, and exchanged in the sum.
        Softmax and argmax over 25 channels took 2.3 ms, all of this 0.8 (ONNX Runtime 1.31, one CPU thread).
        """
        found = self._found(inputs)
        logits = found.logits.reshape(-1, CLASSES, PIXELS)  # (N, 25, P)
        own, prior = (each.reshape(-1, 1, PIXELS) for each in (found.own, found.prior))  # (N, 1, P)

        before = logits.gather(1, own)  # (N, 1, P)
        after = before + prior  # (N, 1, P)
        other, part = best_part(logits)  # (N, 1, P)
        keep = (own > 0) & (after >= other)  # (N, 1, P)
        part = torch.where(keep, own.to(torch.uint8), part)  # (N, 1, P)

        odds = torch.where(keep, after, other).exp()  # (N, 1, P)
        # Repeated here, since ONNX Runtime does not repeat 1 for a batch of 0; len(inputs) would fix the batch.
        ones = self.ones.expand(inputs.shape[0], 1, CLASSES)  # (N, 1, 25)
        total = torch.matmul(ones, logits.exp()) - before.exp() + after.exp()  # (N, 1, P)
        confidence = (odds / total * 255).round().to(torch.uint8)  # (N, 1, P)
        uv = uv_on(found, part.long().reshape(-1, SUB, CELLS, CELLS)).clamp(0, 1)  # (N, 2, S, 64, 64)
        return pixels(part), pixels(uv).reshape(-1, 2, GRID, GRID), pixels(confidence)

    def ties(self, inputs: Tensor) -> Tensors:
        """Where two parts are as good as each other, so that rounding decides: bool (N, 128, 128) each."""
        two = part_logits(self._found(inputs))[:, 1:].topk(2, dim=1).values  # (N, 2, S, 64, 64)
        return dict.fromkeys(TOLERANCES, pixels(two[:, 0] - two[:, 1] < TIE))

    def _found(self, inputs: Tensor) -> CorrespondenceOutput:
        return self.net.heads(self.net.features(inputs), inputs)


def best_part(logits: Tensor) -> Candidates:
    """The best of the parts 1..24 of (N, 25, P): its logit (N, 1, P), and which it is, uint8 (N, 1, P)."""
    half = 1 + PARTS // 2
    numbers = torch.arange(CLASSES, dtype=torch.uint8).reshape(1, CLASSES, 1)  # (1, 25, 1)
    return winner(duel((logits[:, 1:half], numbers[:, 1:half]), (logits[:, half:], numbers[:, half:])))


def winner(candidates: Candidates) -> Candidates:
    """The best of the K candidates: halves against each other, in rounds."""
    count = candidates[0].shape[1]
    if count == 1:
        return candidates
    half = count // 2
    left, right, odd = (
        (candidates[0][:, each], candidates[1][:, each])
        for each in (slice(half), slice(half, 2 * half), slice(2 * half, count))
    )
    won = winner(duel(left, right))
    return won if count % 2 == 0 else duel(won, odd)


def duel(left: Candidates, right: Candidates) -> Candidates:
    """Of each pair the better one; the left one of equals."""
    return torch.maximum(left[0], right[0]), torch.where(left[0] >= right[0], left[1], right[1])


def pixels(maps: Tensor) -> Tensor:
    """All maps as pictures: (..., S, 64, 64), in whatever shape, to (M, 128, 128).

    As `pixel_shuffle`, but in two transpositions that ONNX Runtime knows well: a fifth of the time.
    """
    columns = maps.reshape(-1, 2, CELLS * CELLS).transpose(1, 2)  # (M · 2, 64 · 64, 2)
    rows = columns.reshape(-1, 2, CELLS, GRID).transpose(1, 2)  # (M, 64, 2, 128)
    return rows.reshape(-1, GRID, GRID)  # (M, 128, 128)


def with_part(conv: nn.Conv2d) -> nn.Conv2d:
    """The same convolution for the whole input, the part's channels without effect: spares taking them out."""
    wide = nn.Conv2d(CHANNELS, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)  # type: ignore[arg-type]
    weight = torch.zeros_like(wide.weight)
    given = conv.weight.detach()
    weight[:, MASK], weight[:, PART.stop :] = given[:, :SUB], given[:, SUB:]
    wide.weight, wide.bias = nn.Parameter(weight), conv.bias
    return wide


def example(batch: int) -> Tensors:
    """Noise of the right shape and, for the part, of the right values; the same at every call."""
    generator = torch.Generator().manual_seed(batch)
    maps = torch.rand(batch, CHANNELS, CELLS, CELLS, generator=generator)
    parts = torch.randint(0, CLASSES, (batch, SUB, CELLS, CELLS), generator=generator)
    maps[:, PART] = parts.float()
    return {"maps": maps}
