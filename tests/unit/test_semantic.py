"""FCN and DeepLab: sizes, rates, and the person's probability. Values are compared in tests/parity."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bodystream.export.check import check
from bodystream.export.meta import metadata, origin_of
from bodystream.export.pixels import Pixels
from bodystream.export.to_onnx import to_onnx
from bodystream.export.wrap_semantic import SemanticForExport, semantic_exportable
from bodystream.models.nets.semantic.deeplab import Aspp, DeepLabV1, DeepLabV2, DeepLabV3
from bodystream.models.nets.semantic.fcn import Fcn
from bodystream.models.nets.semantic.systems import PERSON, SEMANTIC, trunk
from bodystream.models.weights.random import fill
from bodystream.models.zoo import find

SMALL = {
    "fcn": lambda: Fcn(trunk("resnet18", width=8)),
    "deeplab-v3": lambda: DeepLabV3(trunk("resnet18", width=8)),
    "deeplab-v2": lambda: DeepLabV2(trunk("resnet18", width=8)),
    "deeplab-v1": lambda: DeepLabV1(width=8, hidden=16),
}
# Parameters: torchvision's of its files, the auxiliary classifiers included; 20.5 million are those of
# DeepLab-LargeFOV (arXiv:1412.7062).
PARAMETERS = {
    "fcn-r50": 35_322_218,
    "fcn-r101": 54_314_346,
    "deeplab-v3-r50": 42_004_074,
    "deeplab-v3-r101": 60_996_202,
    "deeplab-v1-vgg16": 20_505_429,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_there_are_as_many_parameters_as_published(name: str):
    with torch.device("meta"):
        net = SEMANTIC[name]()
    assert sum(each.numel() for each in net.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", SMALL)
def test_logits_have_the_resolution_of_the_picture(name: str):
    net = SMALL[name]().eval()
    with torch.inference_mode():
        assert net(torch.zeros(2, 3, 50, 77)).shape == (2, 21, 50, 77)


@pytest.mark.parametrize("make", [Fcn, DeepLabV3])
def test_the_auxiliary_classifier_can_be_left_out(make: type[Fcn] | type[DeepLabV3]):
    net = make(trunk("resnet18", width=8), classes=2).eval()
    pictures = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        out, aux = net.with_auxiliary(pictures)
        assert torch.equal(out, net(pictures))
    assert out.shape == aux.shape == (1, 2, 32, 32)
    bare = make(trunk("resnet18", width=8), auxiliary=False)
    assert not any(name.startswith("aux") for name in bare.state_dict())


def test_the_pyramid_of_rates():
    net = Aspp(8)
    rates = [branch[0].dilation[0] for branch in list(net.convs)[:4]]
    assert rates == [1, 12, 24, 36]
    second = DeepLabV2(trunk("resnet18", width=8))
    assert [second.get_submodule(f"fc1_voc12_c{k}").dilation[0] for k in range(4)] == [6, 12, 18, 24]
    first = DeepLabV1(width=8, hidden=16)
    assert [first.get_submodule(name).dilation[0] for name in ("conv4_3", "conv5_1", "fc6")] == [1, 2, 12]


def test_deeplab_v2_adds_what_its_rates_see():
    net = DeepLabV2(trunk("resnet18", width=8), classes=2).eval()
    for k in range(4):
        branch = net.get_submodule(f"fc1_voc12_c{k}")
        nn.init.zeros_(branch.weight)
        nn.init.constant_(branch.bias, 10.0**k)
    with torch.inference_mode():
        assert net(torch.zeros(1, 3, 32, 32)).flatten().tolist() == [1111.0] * (2 * 32 * 32)


class Fixed(nn.Module):
    """Says, of any picture, that class c has the logit c · `step`."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.step = step

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.step * torch.arange(21.0).reshape(1, 21, 1, 1)
        return logits.expand(len(x), 21, *x.shape[-2:])


@pytest.mark.parametrize("step", [0.0, 0.3, -0.3, 100.0, -100.0])
def test_the_probability_of_a_person(step: float):
    module = SemanticForExport(Fixed(step))
    pixels = torch.zeros(2, 4, 5, 3, dtype=torch.uint8)
    (person,) = module(pixels)
    expected = round(255 * F.softmax(step * torch.arange(21.0), dim=0)[PERSON].item())
    assert person.dtype == torch.uint8
    assert person.shape == (2, 4, 5)
    assert (person == expected).all()
    assert not module.ties(pixels)["person"].any()


@pytest.mark.parametrize("name", ["fcn", pytest.param("deeplab-v3", marks=pytest.mark.slow)])
def test_the_exported_file_agrees_with_torch(name: str, tmp_path: Path):
    net = SMALL[name]()
    fill(net, 0)
    exportable = semantic_exportable(net, 48, 80)
    path = tmp_path / "net.onnx"
    to_onnx(exportable, path, metadata(name, exportable.module, origin_of([find("picodet-s")])), batch=1)
    assert check(path, exportable, (1,)).forbidden == 0
    with torch.inference_mode():
        picture = exportable.example(1)["image"]
        probability = F.softmax(net.eval()(Pixels()(picture)), dim=1)[:, PERSON]
        (person,) = exportable.module(picture)
    ties = exportable.ties(picture)["person"] if exportable.ties else torch.zeros_like(person)
    assert (person - 255 * probability).abs()[~ties].max() <= 1
