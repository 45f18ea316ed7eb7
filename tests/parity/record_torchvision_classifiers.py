"""Record what torchvision's classifiers and semantic networks say of noise, for test_torchvision_classifiers.py.

In an environment that has torchvision, which this project does not install:

    PYTHONPATH=$(python -m tests.links) python -m tests.parity.record_torchvision_classifiers

where the second `python` is that environment's. The numbers of tests/data/torchvision-classifiers.npz were made with
torchvision 0.28.0 and torch 2.13.0 on a CPU. Weights are those that `models.weights.random` gives to seed 0.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bodystream.models.weights.random import fill

RECORD = Path(__file__).parent.parent / "data" / "torchvision-classifiers.npz"
SEED = 0
SIDE = 64  # px; all of the networks can be given that

Floats = NDArray[np.float32]


def picture() -> torch.Tensor:
    """Noise as normalised pixels are: float32 (1, 3, 64, 64)."""
    return torch.from_numpy(np.random.default_rng(5).normal(size=(1, 3, SIDE, SIDE)).astype(np.float32))


def kept(output: Floats) -> Floats:
    """What is recorded: of logits (1, 1000) every 25th; of maps (1, 21, 64, 64) every 5th class and 8th pixel."""
    return output[:, ::25] if output.ndim == 2 else output[:, ::5, ::8, ::8]


def names(net: nn.Module) -> tuple[int, str]:
    """How many entries a network's state has, and a digest over their names and shapes."""
    lines = sorted(f"{name} {tuple(value.shape)}\n" for name, value in net.state_dict().items())
    return len(lines), hashlib.sha256("".join(lines).encode()).hexdigest()


def originals() -> Mapping[str, Callable[[], nn.Module]]:
    """torchvision's networks by our names."""
    from torchvision import models

    segmentation: Any = models.segmentation
    bare = {"weights": None, "weights_backbone": None, "aux_loss": True}
    return {
        "alexnet": models.alexnet,
        "vgg-16": models.vgg16,
        "googlenet": lambda: models.googlenet(init_weights=False),
        "resnet-18": models.resnet18,
        "resnet-34": models.resnet34,
        "resnet-50": models.resnet50,
        "resnet-101": models.resnet101,
        "densenet-121": models.densenet121,
        "fcn-r50": lambda: segmentation.fcn_resnet50(**bare),
        "fcn-r101": lambda: segmentation.fcn_resnet101(**bare),
        "deeplab-v3-r50": lambda: segmentation.deeplabv3_resnet50(**bare),
        "deeplab-v3-r101": lambda: segmentation.deeplabv3_resnet101(**bare),
    }


def said(net: nn.Module) -> dict[str, Floats]:
    """What a filled network of torchvision's says: `out`, and `aux` where it has an auxiliary map."""
    with torch.inference_mode():
        given = net.eval()(picture())
    outputs = given if isinstance(given, Mapping) else {"out": given}
    return {name: value.numpy() for name, value in outputs.items()}


def main() -> None:
    """Write the record."""
    record: dict[str, Any] = {}
    for name, make in originals().items():
        net = make()
        fill(net, SEED)
        record[f"{name}:entries"], record[f"{name}:names"] = names(net)
        for output, value in said(net).items():
            record[f"{name}:{output}"] = kept(value)
            record[f"{name}:{output}:largest"] = np.abs(value).max()
    np.savez_compressed(RECORD, **record)


if __name__ == "__main__":
    main()
