"""Tensors of a file put into a network: one to one, with a full account of what does not fit."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Misfit:
    """A tensor of the right name and the wrong shape or kind of number."""

    name: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.name} is {self.found} instead of {self.expected}"


@dataclass(frozen=True, slots=True)
class Report:
    """How the tensors of a file and those of a network match, every one of both in exactly one list.

    `matched` and `missing` are the network's names, `unexpected` the file's. `ignored` are entries of either
    that nothing depends on, each with the reason.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misfits: tuple[Misfit, ...]
    ignored: tuple[tuple[str, str], ...]

    @property
    def faults(self) -> int:
        """How many entries do not fit."""
        return len(self.missing) + len(self.unexpected) + len(self.misfits)

    def summary(self) -> str:
        """The faults in one line: how many of each kind, and the first three of them."""
        kinds: Sequence[tuple[str, Sequence[object]]] = (
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("of another shape", self.misfits),
        )
        return "; ".join(
            f"{len(found)} {kind} ({', '.join(map(str, found[:3]))}{', …' if len(found) > 3 else ''})"
            for kind, found in kinds
            if found
        )


def put(net: nn.Module, tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Put tensors that `compare` found to fit into the network, cast to its types; others stay away."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        renamed.setdefault(names[name], tensor)
    with torch.no_grad():
        for name, target in net.state_dict().items():
            if name in renamed:
                target.copy_(renamed[name])


def compare(
    expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], names: Mapping[str, str]
) -> Report:
    """The account of a file's tensors against a network's state, whose names `names` has for each of the file's.

    Values are not looked at.
    """
    targets: dict[str, list[str]] = {}
    for name in tensors:
        targets.setdefault(names[name], []).append(name)
    missing, ignored, misfits, matched = [], [], [], []
    for name, wanted in expected.items():
        if name not in targets:
            if reason := _unneeded(name):
                ignored.append((name, reason))
            else:
                missing.append(name)
        elif misfit := _misfit(name, tensors[targets[name][0]], wanted):
            misfits.append(misfit)
        else:
            matched.append(name)
    unexpected = []
    for target, sources in targets.items():
        # Two that come to one name: the first is taken, and the others are told of.
        for name in sources[1:] if target in expected else sources:
            if reason := _unneeded(target) or _unneeded(name):
                ignored.append((name, reason))
            else:
                unexpected.append(name)
    return Report(tuple(matched), tuple(missing), tuple(unexpected), tuple(misfits), tuple(ignored))


def _misfit(name: str, found: Tensor, wanted: Tensor) -> Misfit | None:
    if found.shape != wanted.shape:
        return Misfit(name, str(tuple(found.shape)), str(tuple(wanted.shape)))
    if found.is_floating_point() != wanted.is_floating_point():
        return Misfit(name, str(found.dtype), str(wanted.dtype))
    return None


# Entries that a network may have and a file lack, or the other way round, without any effect on what it gives.
_UNNEEDED: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(^|\.)num_batches_tracked$"), "counts batches in training, nothing reads it"),
    (
        re.compile(r"anchor_generator\.cell_anchors(\.\d+)?$"),
        "anchors, which are made from the system's sizes",
    ),
    (re.compile(r"^pixel_(mean|std)$"), "the mean and deviation of pixels, which the system states"),
    (re.compile(r"^aux_classifier\."), "the auxiliary classifier, of use in training only"),
    (re.compile(r"^aux[12]\."), "an auxiliary classifier, of use in training only"),
    (re.compile(r"_momentum$"), "the optimizer's"),
)


def _unneeded(name: str) -> str | None:
    return next((reason for pattern, reason in _UNNEEDED if pattern.search(name)), None)
