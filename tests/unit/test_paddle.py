"""The reader of Paddle's files, on a program of one convolution that the test writes itself."""

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bodystream.errors import WeightsCorrupt
from bodystream.models.store import fetch
from bodystream.models.weights.paddle import Op, PaddleModel, read_paddle
from bodystream.models.weights.picodet import load_picodet
from tests.protobuf import field, varint

FILTER = np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2)
BIAS = np.array([-1, 5], np.int64)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    model, params = tmp_path / "tiny.pdmodel", tmp_path / "tiny.pdiparams"
    model.write_bytes(program())
    params.write_bytes(stored(BIAS, 3) + stored(FILTER, 5))  # by name: "a_bias", "b_filter"
    return model, params


def test_ops_and_tensors(files: tuple[Path, Path]) -> None:
    model = read_paddle(*files)
    assert model.ops == (
        Op(
            "conv2d",
            {"Input": ("image",), "Filter": ("b_filter",), "Bias": ()},
            {"Output": ("out",)},
            {
                "groups": -1,
                "epsilon": 0.5,
                "strides": (2, 300),
                "format": "NCHW",
                "is_test": True,
                "big": 1 << 40,
            },
        ),
    )
    assert model.tensors.keys() == {"a_bias", "b_filter"}
    np.testing.assert_array_equal(model.tensors["a_bias"], BIAS)
    np.testing.assert_array_equal(model.tensors["b_filter"], FILTER)
    assert model.tensors["b_filter"].dtype == np.float32


@pytest.mark.parametrize("which", [0, 1])
def test_truncated_anywhere(files: tuple[Path, Path], which: int) -> None:
    whole = files[which].read_bytes()
    for size in range(len(whole)):
        files[which].write_bytes(whole[:size])
        with pytest.raises(WeightsCorrupt, match=files[which].name):
            read_paddle(*files)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    "foreign", [b"\x89PNG\r\n\x1a\n" * 50, bytes(1000), b"\xff" * 1000, b"PK\x03\x04 a zip"]
)
def test_foreign_bytes(files: tuple[Path, Path], which: int, foreign: bytes) -> None:
    files[which].write_bytes(foreign)
    with pytest.raises(WeightsCorrupt, match=files[which].name) as caught:
        read_paddle(*files)
    assert "\n" not in str(caught.value)


def test_bytes_left_over(files: tuple[Path, Path]) -> None:
    files[1].write_bytes(files[1].read_bytes() + stored(BIAS, 3))
    with pytest.raises(WeightsCorrupt, match="more bytes than its 2 tensors take"):
        read_paddle(*files)


def test_another_network_is_not_picodet(files: tuple[Path, Path]) -> None:
    with pytest.raises(WeightsCorrupt, match="1 convolutions, expected 98"):
        load_picodet(*files)


@pytest.mark.weights
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: with_tensor(model, "extra", BIAS), "extra are left over"),
        (lambda model: without_tensor(model, "conv2d_7.w_0"), "conv2d_7.w_0 are missing"),
        (
            lambda model: with_tensor(model, "conv2d_84.b_0", np.zeros(79, np.float32)),
            r"conv2d_84.b_0 is \(79,\)",
        ),
        (lambda model: with_stride_3(model, "conv2d_0.w_0"), r"stem.conv has .*\(3, 3, 1, 1, 1\)"),
    ],
)
def test_every_tensor_and_setting_counts(change, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = fetch("picodet-s-graph"), fetch("picodet-s")
    changed = change(read_paddle(*files))
    monkeypatch.setattr("bodystream.models.weights.picodet.read_paddle", lambda *_: changed)
    with pytest.raises(WeightsCorrupt, match=message):
        load_picodet(*files)


def with_tensor(model: PaddleModel, name: str, value: NDArray) -> PaddleModel:
    return replace(model, tensors={**model.tensors, name: value})


def without_tensor(model: PaddleModel, name: str) -> PaddleModel:
    return replace(model, tensors={key: value for key, value in model.tensors.items() if key != name})


def with_stride_3(model: PaddleModel, filter_name: str) -> PaddleModel:
    def changed(op: Op) -> Op:
        if op.inputs.get("Filter") != (filter_name,):
            return op
        return replace(op, attributes={**op.attributes, "strides": (3, 3)})

    return replace(model, ops=tuple(changed(op) for op in model.ops))


# A protobuf writer in miniature: fields as (number, value), numbers from `framework.proto`.


def program() -> bytes:
    tensor = field(1, 7) + field(3, field(1, field(1, 5)))
    variables = [
        field(1, b"image") + field(2, tensor),
        field(1, b"b_filter") + field(2, tensor) + field(3, 1),
        field(1, b"feed") + field(2, field(1, 9)) + field(3, 1),
        field(1, b"a_bias") + field(2, tensor) + field(3, 1),
    ]
    attributes = [
        (b"groups", 0, field(3, (1 << 64) - 1)),  # -1, as protobuf writes it
        (b"epsilon", 1, varint(4 << 3 | 5) + struct.pack("<f", 0.5)),
        (b"strides", 3, field(6, 2) + field(6, 300)),
        (b"format", 2, field(5, b"NCHW")),
        (b"is_test", 6, field(10, 1)),
        (b"big", 9, field(13, 1 << 40)),
    ]
    slots = [
        field(1, b"Input") + field(2, b"image"),
        field(1, b"Filter") + field(2, b"b_filter"),
        field(1, b"Bias"),
    ]
    op = b"".join(field(1, slot) for slot in slots) + field(2, field(1, b"Output") + field(2, b"out"))
    op += field(3, b"conv2d")
    op += b"".join(field(4, field(1, name) + field(2, kind) + value) for name, kind, value in attributes)
    return field(1, b"".join(field(3, variable) for variable in variables) + field(4, op))


def stored(array: NDArray, data_type: int) -> bytes:
    desc = field(1, data_type) + b"".join(field(2, size) for size in array.shape)
    return struct.pack("<IQII", 0, 0, 0, len(desc)) + desc + array.tobytes()
