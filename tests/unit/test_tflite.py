"""The reader of tflite files, on small files made here."""

from pathlib import Path

import flatbuffers
import numpy as np
import pytest

from bodystream.errors import WeightsCorrupt
from bodystream.models.weights.blazepose import load_blazepose
from bodystream.models.weights.tflite import read_tflite

ADD, CONV_2D, DEQUANTIZE, DENSIFY = 0, 3, 6, 124
CODES = (ADD, CONV_2D, DEQUANTIZE, DENSIFY)
KERNEL = np.arange(8, dtype=np.float16).reshape(2, 1, 1, 4) / 8


def table(builder, *fields):
    """A flatbuffer table of (number, kind, value); offsets are made beforehand."""
    builder.StartObject(12)
    for number, kind, value in fields:
        getattr(builder, f"Prepend{kind}Slot")(number, value, 0)
    return builder.EndObject()


def vector(builder, offsets):
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def numbers(builder, *values):
    return builder.CreateNumpyVector(np.array(values, np.int32))


def tensor(builder, buffer, name, shape, kind, scales=None):
    fields = []
    if scales is not None:
        scale = builder.CreateNumpyVector(np.array(scales, np.float32))
        zero = builder.CreateNumpyVector(np.zeros(len(scales), np.int64))
        quantization = table(builder, (2, "UOffsetTRelative", scale), (3, "UOffsetTRelative", zero))
        fields = [(4, "UOffsetTRelative", quantization)]
    text, sizes = builder.CreateString(name), numbers(builder, *shape)
    return table(
        builder,
        (0, "UOffsetTRelative", sizes),
        (1, "Int8", kind),
        (2, "Uint32", buffer),
        (3, "UOffsetTRelative", text),
        *fields,
    )


def operator(builder, code, inputs, outputs, options=0):
    ins, outs = numbers(builder, *inputs), numbers(builder, *outputs)
    return table(
        builder,
        (0, "Uint32", CODES.index(code)),
        (1, "UOffsetTRelative", ins),
        (2, "UOffsetTRelative", outs),
        (4, "UOffsetTRelative", options),
    )


def write(path: Path, code=DEQUANTIZE, bias_tensor=3) -> Path:
    """One convolution: float16 weights behind `code`, int8 bias of two scales behind DEQUANTIZE."""
    b = flatbuffers.Builder(0)
    datas = [None, b.CreateNumpyVector(KERNEL.view(np.uint8).ravel())]
    datas.append(b.CreateNumpyVector(np.array([3, 254], np.uint8)))  # int8 3 and -2
    buffers = vector(b, [table(b, *([(0, "UOffsetTRelative", d)] if d else [])) for d in datas])
    tensors = vector(
        b,
        [
            tensor(b, 0, "image", (1, 4, 4, 4), 0),
            tensor(b, 1, "kernel16", KERNEL.shape, 1),
            tensor(b, 0, "kernel", KERNEL.shape, 0),
            tensor(b, 2, "bias8", (2,), 9, scales=(0.5, 0.25)),
            tensor(b, 0, "bias", (2,), 0),
            tensor(b, 0, "out", (1, 2, 2, 2), 0),
        ],
    )
    options = table(b, (0, "Int8", 1), (1, "Int32", 2), (2, "Int32", 2), (3, "Int8", 3))
    operators = vector(
        b,
        [
            operator(b, code, (1,), (2,)),
            operator(b, DEQUANTIZE, (bias_tensor,), (4,)),
            operator(b, CONV_2D, (0, 2, 4), (5,), options),
        ],
    )
    ins, outs = numbers(b, 0), numbers(b, 5)
    parts = ((0, tensors), (1, ins), (2, outs), (3, operators))
    subgraphs = vector(b, [table(b, *((n, "UOffsetTRelative", p) for n, p in parts))])
    codes = vector(b, [table(b, (0, "Int8", c), (3, "Int32", c)) for c in CODES])
    parts = ((1, codes), (2, subgraphs), (4, buffers))
    b.Finish(table(b, *((n, "UOffsetTRelative", p) for n, p in parts)), b"TFL3")
    path.write_bytes(bytes(b.Output()))
    return path


def test_reads_operators_options_and_weights(tmp_path):
    graph = read_tflite(write(tmp_path / "net.tflite"))
    assert (graph.inputs, graph.outputs) == ((0,), (5,))
    (conv,) = graph.operators
    assert (conv.kind, conv.inputs, conv.outputs) == ("CONV_2D", (0, 2, 4), (5,))
    assert conv.options == {"padding": 1, "stride_w": 2, "stride_h": 2, "activation": 3}
    assert (graph.tensors[0].name, graph.tensors[0].shape, graph.tensors[0].data) == (
        "image",
        (1, 4, 4, 4),
        None,
    )
    kernel, bias = (graph.tensors[index].data for index in (2, 4))
    assert kernel.dtype == bias.dtype == np.float32
    np.testing.assert_array_equal(kernel, KERNEL)
    np.testing.assert_array_equal(bias, [1.5, -0.5])


def test_sparse_weights_are_refused(tmp_path):
    with pytest.raises(WeightsCorrupt, match="1 sparse"):
        read_tflite(write(tmp_path / "net.tflite", code=DENSIFY))


def test_an_operator_on_a_tensor_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(WeightsCorrupt, match="up to 99 of 6"):
        read_tflite(write(tmp_path / "net.tflite", bias_tensor=99))


@pytest.mark.parametrize("data", [b"", b"TFL", b"PK\x03\x04" + bytes(60), b"<!DOCTYPE html>" * 9])
def test_a_foreign_file_is_refused(tmp_path, data):
    path = tmp_path / "net.tflite"
    path.write_bytes(data)
    with pytest.raises(WeightsCorrupt, match="not a tflite file"):
        read_tflite(path)


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    whole = write(tmp_path / "net.tflite").read_bytes()
    path = tmp_path / "cut.tflite"
    for length in range(8, len(whole), 4):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsCorrupt) as raised:
            read_tflite(path)
        assert "\n" not in str(raised.value)


def test_damaged_bytes_raise_nothing_else(tmp_path):
    whole = np.frombuffer(write(tmp_path / "net.tflite").read_bytes(), np.uint8)
    random = np.random.default_rng(0)
    path, refused = tmp_path / "damaged.tflite", 0
    for _ in range(300):
        damaged = whole.copy()
        damaged[random.integers(8, len(whole), 3)] = random.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        try:
            read_tflite(path)
        except WeightsCorrupt:
            refused += 1
    assert refused > 50


def test_another_network_is_not_taken_for_blazepose(tmp_path):
    with pytest.raises(WeightsCorrupt, match=r"not a BlazePose landmark network: expected .*, found 1"):
        load_blazepose(write(tmp_path / "net.tflite"))
