"""What each anchor or proposal is trained to be, and which of them are: the matcher and the sampler.

Ren et al., "Faster R-CNN", 2015 (arXiv:1506.01497), section 3.1.2: an anchor is a person's if it overlaps the
person's box enough, or more than any other anchor does; nobody's if it overlaps none; between the two it is left
out. Of both kinds a few are drawn. torchvision and detectron2 agree.
"""

import torch
from torch import Tensor

NOBODY = -1  # background
LEFT_OUT = -2  # neither


def match(overlap: Tensor, low: float, high: float, best_too: bool) -> Tensor:
    """Whose each of M boxes is, by its overlap (N, M) with N true ones: int64 (M,), 0..N−1, NOBODY or LEFT_OUT.

    From `high` on it is that of the true box it overlaps most; below `low` it is nobody's. With `best_too` so are
    those that overlap a true box most of all, however little.
    """
    if not len(overlap):
        return torch.full((overlap.shape[1],), NOBODY, dtype=torch.int64, device=overlap.device)
    most, whose = overlap.max(dim=0)  # (M,)
    matched = torch.where(most >= high, whose, LEFT_OUT)
    matched = torch.where(most < low, NOBODY, matched)
    if best_too:
        best = overlap.max(dim=1, keepdim=True).values  # (N, 1)
        matched = torch.where(((overlap == best) & (best > 0)).any(dim=0), whose, matched)
    return matched


def sample(
    matched: Tensor, count: int, share: float, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """At most `count` of the matched boxes (M,), of which at most `share` are somebody's: two int64 index vectors.

    The first are somebody's, the second nobody's; nobody fills the places that somebody leaves.
    """
    positive = drawn((matched >= 0).nonzero()[:, 0], int(count * share), generator)
    negative = drawn((matched == NOBODY).nonzero()[:, 0], count - len(positive), generator)
    return positive, negative


def drawn(indices: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """At most `count` of the indices (K,), all equally likely."""
    if len(indices) <= count:
        return indices
    order = torch.randperm(len(indices), generator=generator)[:count]
    return indices[order.to(indices.device)]
