"""Classifiers and trunks: sizes, names, variants. Their values are compared in tests/parity."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from bodystream.export.check import check
from bodystream.export.meta import metadata, origin_of
from bodystream.export.pixels import Pixels
from bodystream.export.to_onnx import to_onnx
from bodystream.export.wrap_classifier import ClassifierForExport, classifier_exportable
from bodystream.models.nets.backbones.alexnet import AlexNet
from bodystream.models.nets.backbones.classifiers import CLASSIFIERS
from bodystream.models.nets.backbones.densenet import DenseNet
from bodystream.models.nets.backbones.googlenet import GoogLeNet
from bodystream.models.nets.backbones.lenet import LeNet5, squash
from bodystream.models.nets.backbones.resnet import LAYERS, Norm, resnet
from bodystream.models.nets.backbones.trunks import trunk
from bodystream.models.nets.backbones.vgg import Vgg16
from bodystream.models.weights.random import fill
from bodystream.models.zoo import find

# Parameters for 1000 classes: what the publisher of the weights says (torchvision), GoogLeNet's without the
# auxiliary classifiers. LeNet-5 with complete connections has the paper's 156, 48120, 10164 of C1, C5, F6;
# C3 2416 for the paper's 1516, the output 850.
PARAMETERS = {
    "lenet-5": 156 + 2416 + 48120 + 10164 + 850,
    "alexnet": 61_100_840,
    "vgg-16": 138_357_544,
    "googlenet": 6_624_904,
    "resnet-18": 11_689_512,
    "resnet-34": 21_797_672,
    "resnet-50": 25_557_032,
    "resnet-101": 44_549_160,
    "densenet-121": 7_978_856,
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_there_are_as_many_parameters_as_published(name: str):
    with torch.device("meta"):
        net = CLASSIFIERS[name](10 if name == "lenet-5" else 1000)
        given = torch.empty(2, 1, 32, 32) if name == "lenet-5" else torch.empty(2, 3, 224, 224)
        assert net.eval()(given).shape == (2, 10 if name == "lenet-5" else 1000)
    auxiliary = sum(each.numel() for word, each in net.named_parameters() if word.startswith("aux"))
    assert sum(each.numel() for each in net.parameters()) - auxiliary == PARAMETERS[name]


def test_the_paper_s_activation_is_1_at_1():
    assert squash(torch.tensor([-1.0, 0, 1])).tolist() == pytest.approx([-1, 0, 1], abs=1e-4)


def test_the_least_picture_of_alexnet():
    with torch.device("meta"):
        assert AlexNet(5)(torch.empty(1, 3, 63, 63)).shape == (1, 5)
        with pytest.raises(RuntimeError, match="too small"):
            AlexNet(5)(torch.empty(1, 3, 62, 62))


def test_googlenet_has_two_more_answers_for_training():
    net = GoogLeNet(7).eval()
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits, *others = net.with_auxiliary(pictures)
        assert torch.equal(logits, net(pictures))
    assert [each.shape for each in others] == [(2, 7), (2, 7)]
    with torch.device("meta"):
        assert not any(name.startswith("aux") for name in GoogLeNet(7, auxiliary=False).state_dict())


@pytest.mark.parametrize("name", LAYERS)
def test_stages_of_a_resnet(name: str):
    net = resnet(name, 0, width=8)
    with torch.inference_mode():
        stages = net.eval().stages(torch.zeros(1, 3, 70, 90))
    times = 1 if name in ("resnet18", "resnet34") else 4
    assert net.channels == tuple(8 * k * times for k in (1, 2, 4, 8))
    assert [tuple(each.shape[1:]) for each in stages] == [
        (net.channels[0], 18, 23),
        (net.channels[1], 9, 12),
        (net.channels[2], 5, 6),
        (net.channels[3], 3, 3),
    ]
    assert not any(word.startswith("fc") for word in net.state_dict())


@pytest.mark.parametrize("name", ["vgg16", "densenet121", "resnet18"])
def test_trunks_of_a_pyramid(name: str):
    net = trunk(name, norm=nn.BatchNorm2d, width=64, stride_in_1x1=False)
    with torch.inference_mode():
        stages = net.eval().stages(torch.zeros(1, 3, 64, 96))
    assert [tuple(each.shape[1:]) for each in stages] == [
        (channels, 16 >> k, 24 >> k) for k, channels in enumerate(net.channels)
    ]
    assert not any(word.startswith(("classifier", "fc")) for word in net.state_dict())


@pytest.mark.parametrize("make", [Vgg16, DenseNet])
def test_the_last_stage_is_what_the_classifier_sees(make: Callable[[], nn.Module]):
    net = make().eval()
    pictures = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        top = net.stages(pictures)[-1]
        whole = net.features(pictures)
    assert torch.equal(top, torch.relu(whole))  # VGG's is nowhere below 0


def test_dilation_in_place_of_stride():
    net = resnet("resnet50", 0, width=8, dilate=(False, True, True))
    with torch.inference_mode():
        stages = net.eval().stages(torch.zeros(1, 3, 64, 64))
    assert [each.shape[-1] for each in stages] == [16, 8, 8, 8]
    rates = {name: each.dilation[0] for name, each in net.named_modules() if isinstance(each, nn.Conv2d)}
    assert {rates[f"layer2.{k}.conv2"] for k in range(4)} == {1}
    # The first block of a dilated stage works as the stage before: torchvision's way.
    assert [rates[f"layer3.{k}.conv2"] for k in range(3)] == [1, 2, 2]
    assert [rates[f"layer4.{k}.conv2"] for k in range(3)] == [2, 4, 4]


def test_where_a_bottleneck_halves_the_resolution():
    for stride_in_1x1, expected in ((False, (1, 2)), (True, (2, 1))):
        net = resnet("resnet50", 0, width=8, stride_in_1x1=stride_in_1x1)
        first = net.layer2[0]
        assert (first.conv1.stride[0], first.conv2.stride[0]) == expected
        assert first.downsample[0].stride[0] == 2


def groups(channels: int) -> nn.Module:
    return nn.GroupNorm(4, channels)


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, groups])
def test_blocks_that_start_as_their_shortcut(norm: Norm):
    net = resnet("resnet18", 0, width=8, norm=norm, zero_init=True).eval()
    maps = torch.rand(1, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(net.layer1(maps), maps)
        assert not torch.equal(net.layer2(maps), maps)


def test_pixels_become_what_the_networks_were_trained_on():
    pixels = torch.tensor([255, 0, 51], dtype=torch.uint8).expand(1, 1, 1, 3)  # blue, green, red
    red, green, blue = Pixels()(pixels).flatten().tolist()
    assert red == pytest.approx((0.2 - 0.485) / 0.229, abs=1e-5)
    assert green == pytest.approx(-0.456 / 0.224, abs=1e-5)
    assert blue == pytest.approx((1 - 0.406) / 0.225, abs=1e-5)
    wrapped = ClassifierForExport(GoogLeNet(2, auxiliary=False))
    assert wrapped.pixels(pixels).flatten().tolist() == pytest.approx([-0.6, -1, 1], abs=1e-5)


SMALL = {
    "lenet-5": (lambda: LeNet5(10), 32),
    "resnet-18": (lambda: resnet("resnet18", 10, width=8), 64),
    "densenet": (lambda: DenseNet(10, (1, 2), growth=8), 64),
}


@pytest.mark.parametrize("name", [*SMALL, pytest.param("googlenet", marks=pytest.mark.slow)])
def test_the_exported_file_agrees_with_torch(name: str, tmp_path: Path):
    make, size = SMALL[name] if name in SMALL else (lambda: GoogLeNet(10), 64)
    net = make()
    fill(net, 0)
    exportable = classifier_exportable(net, size)
    path = tmp_path / "net.onnx"
    to_onnx(exportable, path, metadata(name, exportable.module, origin_of([find("picodet-s")])))
    findings = check(path, exportable, (0, 1, 3)).findings
    assert len(findings) == 8
