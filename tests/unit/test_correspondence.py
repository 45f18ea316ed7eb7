"""dense-s: its input, its start as the baseline, what its export computes, the reader of its weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import pixel_shuffle

from bodystream.errors import WeightsCorrupt
from bodystream.export.check import check, furthest
from bodystream.export.meta import metadata, origin_of
from bodystream.export.to_onnx import Exportable, to_onnx
from bodystream.export.wrap_dense import (
    TOLERANCES,
    CorrespondenceForExport,
    best_part,
    example,
    pixels,
)
from bodystream.models import dense_layout
from bodystream.models.dense_layout import BONES, CHANNELS, GROUPS, PART, U, V
from bodystream.models.nets.correspondence import Correspondence, part_logits, uv_on
from bodystream.models.runtime import open_session
from bodystream.models.weights.correspondence import load_correspondence
from bodystream.models.zoo import find


@pytest.fixture(scope="module")
def net() -> Correspondence:
    """Random weights that disagree with the baseline here and there."""
    torch.manual_seed(0)
    net = Correspondence()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    torch.nn.init.normal_(net.logits.weight, std=0.5)
    torch.nn.init.uniform_(net.prior, 0, 3)
    return net.eval()


@pytest.fixture(scope="module")
def exportable(net: Correspondence) -> Exportable:
    module = CorrespondenceForExport(net)
    return Exportable(module, example, TOLERANCES, ties=module.ties)


@pytest.fixture(scope="module")
def file(exportable: Exportable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "dense-s.onnx"
    to_onnx(exportable, path, metadata("dense-s", exportable.module, origin_of([find("blazepose-lite")])))
    return path


# -- the input


def test_every_channel_has_one_meaning_and_one_source():
    slices = [value for value in vars(dense_layout).values() if isinstance(value, slice)]
    taken = [channel for each in slices for channel in range(CHANNELS)[each]]
    assert sorted(taken) == list(range(CHANNELS))
    grouped = [channel for group in GROUPS.values() for each in group for channel in range(CHANNELS)[each]]
    assert sorted(grouped) == list(range(CHANNELS))
    bones = len(BONES)
    assert len(range(CHANNELS)[dense_layout.BONE]) == len(range(CHANNELS)[dense_layout.BONE_DEPTH]) == bones


# -- the network


def test_an_untrained_net_is_the_baseline():
    inputs = example(3)["maps"]
    inputs[:, PART] = inputs[:, PART].clamp(min=1)
    part, uv, confidence = CorrespondenceForExport(Correspondence())(inputs)
    assert torch.equal(part, pixel_shuffle(inputs[:, PART], 2)[:, 0].byte())
    assert torch.equal(uv[:, 0], pixel_shuffle(inputs[:, U], 2)[:, 0])
    assert torch.equal(uv[:, 1], pixel_shuffle(inputs[:, V], 2)[:, 0])
    assert confidence.unique().tolist() == [177]  # e⁴ / (e⁴ + 24) of 255


def test_without_any_baseline_a_part_is_still_given():
    part, uv, confidence = CorrespondenceForExport(Correspondence())(torch.zeros(1, CHANNELS, 64, 64))
    assert part.unique().tolist() == [1]
    assert torch.equal(uv, torch.full((1, 2, 128, 128), 0.5))
    assert confidence.unique().tolist() == [3]


def test_the_export_computes_what_the_network_says(net: Correspondence):
    inputs = example(2)["maps"]
    found = net(inputs)
    probability = part_logits(found).softmax(1)  # (N, 25, S, 64, 64)
    best = probability[:, 1:].argmax(1) + 1  # (N, S, 64, 64)
    part, uv, confidence = CorrespondenceForExport(net)(inputs)
    assert 0.3 < (part == pixel_shuffle(inputs[:, PART], 2)[:, 0]).float().mean() < 0.9  # a mixed case
    assert torch.equal(part, pixels(best).byte())
    wanted = pixels(uv_on(found, best)).reshape(2, 2, 128, 128).clamp(0, 1)
    torch.testing.assert_close(uv, wanted, atol=1e-5, rtol=0)
    sure = pixels(probability.gather(1, best[:, None])) * 255
    torch.testing.assert_close(confidence.float(), sure, atol=0.51, rtol=0)


def test_a_pixel_has_the_baseline_s_uv_only_on_the_baseline_s_part(net: Correspondence):
    inputs = example(1)["maps"]
    found = net(inputs)
    own = found.own.clamp(min=1)
    assert torch.equal(
        uv_on(found, own)[:, :, own[0] == found.own[0]], found.moved[:, :, own[0] == found.own[0]]
    )
    other = own % 24 + 1
    assert not torch.equal(uv_on(found, other), found.moved)


@pytest.mark.parametrize("part", range(1, 25))
def test_the_best_part_is_found_wherever_it_stands(part: int):
    logits = torch.zeros(1, 25, 5)
    logits[0, 0] = 9  # the background is not asked
    logits[0, part] = 1
    value, found = best_part(logits)
    assert found.tolist() == [[[part] * 5]]
    assert value.tolist() == [[[1.0] * 5]]


def test_of_equal_parts_the_first_is_taken():
    assert best_part(torch.zeros(1, 25, 1))[1].item() == 1


# -- the ONNX file


def test_the_file_agrees_with_torch(file: Path, exportable: Exportable):
    findings = check(file, exportable, batches=(0, 1, 2, 5)).findings
    assert all(finding.ok for finding in findings)
    shapes = [str(each) for each in findings if each.step == "shapes" and "batch 5" in each.what]
    assert shapes == [
        "✓ shapes: part at batch 5: uint8 (5, 128, 128)",
        "✓ shapes: uv at batch 5: float32 (5, 2, 128, 128)",
        "✓ shapes: confidence at batch 5: uint8 (5, 128, 128)",
    ]
    batch, *rest = open_session(file, device="cpu").input
    assert isinstance(batch, str)
    assert rest == [48, 64, 64]


def test_ties_are_few_and_where_two_parts_are_equal(exportable: Exportable, net: Correspondence):
    assert exportable.ties is not None
    assert exportable.ties(*example(1).values())["part"].float().mean() < 1e-3
    assert CorrespondenceForExport(Correspondence()).ties(torch.zeros(1, CHANNELS, 64, 64))["part"].all()


def test_places_in_ties_are_not_compared():
    have, want = np.zeros((2, 3, 4, 4)), np.zeros((2, 3, 4, 4))
    have[1, :, 2, 2] = 5
    ties = np.zeros((2, 4, 4), bool)
    assert furthest(have, want, ties) == 5
    ties[1, 2, 2] = True
    assert furthest(have, want, ties) == 0
    assert furthest(have[:, 0], want[:, 0], ties) == 0
    have[0, 0, 0, 0] = np.nan
    assert np.isnan(furthest(have, want, ties))


# -- the weights


def test_weights_come_back_as_they_were(net: Correspondence, tmp_path: Path):
    save_file(net.state_dict(), tmp_path / "dense-s.safetensors")
    read = load_correspondence(tmp_path / "dense-s.safetensors")
    assert not read.training
    for name, tensor in read.state_dict().items():
        assert torch.equal(tensor, net.state_dict()[name])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda state: state.pop("prior"), "not dense-s as it is known: prior is missing."),
        (lambda state: state.update(extra=torch.zeros(1)), "extra is left over."),
        (
            lambda state: state.update(prior=torch.zeros(24)),
            r"prior is torch.float32 \(24,\) instead of torch.float32 \(25,\).",
        ),
        (lambda state: state.update(prior=torch.zeros(25).half()), r"prior is torch.float16 \(25,\) instead"),
        (lambda state: state.clear(), r"prior is missing; .*; .* \(and \d+ more\)\."),
    ],
    ids=["missing", "left over", "shape", "type", "nothing"],
)
def test_other_weights_are_refused_in_one_line(net: Correspondence, tmp_path: Path, change, told: str):
    state = dict(net.state_dict())
    change(state)
    save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(WeightsCorrupt, match=told) as error:
        load_correspondence(tmp_path / "other.safetensors")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"no weights", b"\xff" * 64])
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, content: bytes):
    path = tmp_path / "dense-s.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsCorrupt, match=r"dense-s\.safetensors: not a safetensors file") as error:
        load_correspondence(path)
    assert "\n" not in str(error.value)


def test_the_middle_of_the_file_cut_out(net: Correspondence, tmp_path: Path):
    path = tmp_path / "dense-s.safetensors"
    save_file(net.state_dict(), path)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(WeightsCorrupt, match="not a safetensors file"):
        load_correspondence(path)


def test_channels_of_u_and_v_are_those_of_the_layout():
    inputs = torch.zeros(1, CHANNELS, 64, 64)
    inputs[:, PART], inputs[:, U], inputs[:, V] = 3, 0.25, 0.75
    _, uv, _ = CorrespondenceForExport(Correspondence())(inputs)
    assert uv[:, 0].unique().tolist() == [0.25]
    assert uv[:, 1].unique().tolist() == [0.75]
