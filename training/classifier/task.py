"""Training of any classifier of `models.nets.backbones`, on pictures of `training.classifier.pictures`."""

import json
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bodystream.errors import UsageError
from bodystream.export.wrap_classifier import pixels_of
from bodystream.models.nets.backbones.classifiers import CLASSIFIERS
from bodystream.models.nets.backbones.googlenet import GoogLeNet
from bodystream.training.task import Batch, Task

AUXILIARY = 0.3  # weight of GoogLeNet's other two classifiers: section 5


def made(network: str, classes: int) -> nn.Module:
    """An untrained classifier."""
    return CLASSIFIERS[network](classes)


def loss(net: nn.Module, batch: tuple[Tensor, ...], draw: torch.Generator, bf16: bool) -> Tensor:
    """Cross entropy in nats, (1,), of pixels as `pixels_of` takes them and classes, int64 (N,)."""
    images, labels = batch
    torch.manual_seed(
        draw.initial_seed()
    )  # dropout asks torch's own generator: so a run that goes on is the same
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        inputs = prepared(net, images)
        logits = net.with_auxiliary(inputs) if isinstance(net, GoogLeNet) else (net(inputs),)
    nats = [F.cross_entropy(each.float(), labels) for each in logits]
    return (nats[0] + AUXILIARY * sum(nats[1:]))[None]


def prepared(net: nn.Module, images: Tensor) -> Tensor:
    """The net's input, laid out as it is."""
    inputs: Tensor = pixels_of(net).to(images.device)(images)
    return inputs.contiguous(memory_format=torch.channels_last)


COUNTS = 3


def counted(net: nn.Module, held_out: Sequence[Batch], device: torch.device) -> Tensor:
    """Sums, (3,): how many pictures, how many are told right, nats."""
    net.eval()
    counts = torch.zeros(COUNTS)
    for batch in held_out:
        images, labels = (torch.from_numpy(each).to(device) for each in batch)
        with torch.inference_mode():
            logits = net(prepared(net, images))  # (N, classes)
        right = (logits.argmax(1) == labels).sum()
        nats = F.cross_entropy(logits, labels, reduction="sum")
        counts += torch.tensor([float(len(labels)), float(right), float(nats)])
    return counts


def figures(counts: Tensor) -> dict[str, float]:
    """Means."""
    pictures, right, nats = counts.tolist()
    return {"accuracy": right / max(pictures, 1.0), "nats": nats / max(pictures, 1.0)}


def weights(net: nn.Module) -> dict[str, Tensor]:
    """All of them."""
    return dict(net.state_dict())


def task(network: str, classes: Sequence[str]) -> Task[nn.Module]:
    """The training of a classifier of CLASSIFIERS for these classes. Raises UsageError for another name."""
    if network not in CLASSIFIERS:
        raise UsageError(f"no classifier called {network!r}; known: {', '.join(CLASSIFIERS)}")
    return Task(
        name=network,
        make=partial(made, network, len(classes)),
        losses=("loss",),
        loss=loss,
        counts=COUNTS,
        counted=counted,
        figures=figures,
        weights=weights,
        metadata={"system": network, "classes": json.dumps(list(classes))},
        weight_decay=1e-4,
        warm_up=5000,
        ema=0.99,
    )
