"""The torch network against the original runtime: its recorded numbers, and itself where installed."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bodystream.errors import WeightsCorrupt
from bodystream.export.wrap_pose import PoseForExport, refine
from bodystream.models.store import fetch
from bodystream.models.weights import blazepose
from bodystream.models.weights.blazepose import load_blazepose
from bodystream.models.weights.tflite import Tensor, read_tflite
from tests.parity.record_blazepose import COARSE, CROPS, DATA, SIZES, crops, original

pytestmark = pytest.mark.weights


@pytest.mark.parametrize("size", SIZES)
def test_agrees_with_the_recorded_numbers_of_the_original_runtime(size: str) -> None:
    with np.load(DATA / "blazepose.npz") as file:
        record = {name.removeprefix(f"{size}-"): file[name] for name in file.files if name.startswith(size)}
    ours = run_torch(size)
    ours |= {name: ours[name][COARSE] for name in ("mask", "heatmaps")}
    check(ours, record, largest={name: float(record[f"{name}-largest"]) for name in ours})


@pytest.mark.parametrize("size", SIZES)
def test_the_exported_module_says_what_the_network_says(size: str) -> None:
    net = load_blazepose(fetch(f"blazepose-{size}"))
    pixels = torch.from_numpy(np.stack([cv2.imread(str(path)) for path in CROPS]))  # (2, 256, 256, 3) BGR
    with torch.inference_mode():
        plain = net(torch.from_numpy(crops()))
        landmarks, presence, mask, world = PoseForExport(net)(pixels)
    body = refine(plain.landmarks[:, :33, :2], plain.heatmaps[:, :33])
    torch.testing.assert_close(landmarks[:, :33, :2], body, rtol=0, atol=2e-3)
    torch.testing.assert_close(landmarks[:, 33:, :2], plain.landmarks[:, 33:, :2], rtol=0, atol=2e-3)
    torch.testing.assert_close(landmarks[..., 2], plain.landmarks[..., 2], rtol=0, atol=5e-3)
    torch.testing.assert_close(landmarks[..., 3:], plain.landmarks[..., 3:].sigmoid(), rtol=0, atol=1e-4)
    torch.testing.assert_close(presence, plain.presence[:, 0], rtol=0, atol=1e-5)
    torch.testing.assert_close(mask / 255, plain.mask.sigmoid(), rtol=0, atol=1.5 / 255)
    torch.testing.assert_close(world, plain.world, rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_agrees_with_the_original_runtime(size: str) -> None:
    pytest.importorskip("ai_edge_litert")
    theirs = original(fetch(f"blazepose-{size}"), crops())
    check(
        run_torch(size), theirs, largest={name: float(np.abs(value).max()) for name, value in theirs.items()}
    )


def run_torch(size: str) -> dict[str, NDArray[np.float32]]:
    net = load_blazepose(fetch(f"blazepose-{size}"))
    with torch.inference_mode():
        return {name: value.numpy() for name, value in net(torch.from_numpy(crops()))._asdict().items()}


def check(
    ours: dict[str, NDArray[np.float32]], theirs: dict[str, NDArray[np.float32]], largest: dict[str, float]
) -> None:
    tolerance = {
        "landmarks": 0.02,  # px of the crop
        "world": 1e-4,  # m
        "presence": 1e-5,
        "mask": 1e-3 * largest["mask"],
        "heatmaps": 1e-3 * largest["heatmaps"],
    }
    for name, atol in tolerance.items():
        np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=atol, err_msg=name)


def test_a_file_with_other_convolutions_fails_with_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch("blazepose-lite")
    graph = read_tflite(path)
    first = next(index for index, step in enumerate(graph.operators) if step.kind == "CONV_2D")
    steps = list(graph.operators)
    steps[first], steps[first + 1] = steps[first + 1], steps[first]
    monkeypatch.setattr(blazepose, "read_tflite", lambda _: replace(graph, operators=tuple(steps)))
    with pytest.raises(
        WeightsCorrupt, match=r"stem\.0 has a weight of \(24, 1, 3, 3\), expected \(24, 3, 3, 3\)"
    ):
        load_blazepose(path)


def test_a_weight_that_is_not_taken_fails_with_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch("blazepose-lite")
    graph = read_tflite(path)
    extra = Tensor("stray", (1,), np.zeros(1, np.float32))
    monkeypatch.setattr(blazepose, "read_tflite", lambda _: replace(graph, tensors=(*graph.tensors, extra)))
    with pytest.raises(WeightsCorrupt, match="stray is used 0 times"):
        load_blazepose(path)
