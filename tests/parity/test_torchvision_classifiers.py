"""The classifiers and semantic networks against torchvision's: their recorded numbers, and themselves if installed.

Names and shapes of all parameters are equal, so that published files load. When this was written, in torch 2.13's
CPU build, all values but DeepLab's were those recorded in its CUDA build to the last bit; DeepLab's differ by 7e-8
of the largest.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from bodystream.models.nets.backbones.classifiers import CLASSIFIERS
from bodystream.models.nets.semantic.systems import SEMANTIC
from bodystream.models.weights.random import fill
from tests.parity.record_torchvision_classifiers import (
    RECORD,
    SEED,
    Floats,
    kept,
    names,
    originals,
    picture,
    said,
)

RELATIVE = 1e-5

MADE: dict[str, Callable[[], nn.Module]] = {
    name: lambda make=make: make(1000) for name, make in CLASSIFIERS.items() if name != "lenet-5"
} | {name: make for name, make in SEMANTIC.items() if not name.startswith(("deeplab-v1", "deeplab-v2"))}

# Filling them takes seconds, or what is special about them is in another one.
LARGE = ("alexnet", "vgg-16", "resnet-34", "resnet-101", "fcn-r50", "fcn-r101", "deeplab-v3-r101")
BY_SIZE = [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in MADE]


@pytest.mark.parametrize("name", MADE)
def test_parameters_are_named_and_shaped_as_torchvisions(name: str):
    with np.load(RECORD) as record, torch.device("meta"):
        assert names(MADE[name]()) == (record[f"{name}:entries"], record[f"{name}:names"])


@pytest.mark.parametrize("name", BY_SIZE)
def test_agrees_with_the_recorded_numbers_of_torchvision(name: str):
    ours = run(name)
    with np.load(RECORD) as record:
        for output, value in ours.items():
            allowed = RELATIVE * float(record[f"{name}:{output}:largest"])
            np.testing.assert_allclose(kept(value), record[f"{name}:{output}"], rtol=0, atol=allowed)
        assert all(f"{name}:{output}" in record for output in ours)


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE)
def test_agrees_with_torchvision(name: str):
    pytest.importorskip("torchvision")
    theirs = originals()[name]()
    fill(theirs, SEED)
    ours = run(name)
    for output, value in said(theirs).items():
        np.testing.assert_allclose(ours[output], value, rtol=0, atol=RELATIVE * np.abs(value).max())


def run(name: str) -> dict[str, Floats]:
    """What our network says, filled as theirs."""
    with torch.device("meta"):
        net = MADE[name]()
    net = net.to_empty(device="cpu").eval()
    fill(net, SEED)
    with torch.inference_mode():
        if name in CLASSIFIERS:
            return {"out": net(picture()).numpy()}
        out, aux = net.with_auxiliary(picture())
        return {"out": out.numpy(), "aux": aux.numpy()}
