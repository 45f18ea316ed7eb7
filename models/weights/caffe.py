"""Reader of Caffe's trained networks (`.caffemodel`): the blobs of every layer that has any.

The file is a protobuf message, defined in Caffe's `src/caffe/proto/caffe.proto`: NetParameter, whose layers
are LayerParameter, or V1LayerParameter in files from before 2015.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bodystream.models.weights.protobuf import Fields, message, signed, varint


def read_blobs(data: bytes) -> Mapping[str, tuple[NDArray[Any], ...]]:
    """The blobs of each layer by its name, float32 (float64 where the file has it), in the layer's order.

    Raises one of protobuf.UNREADABLE where the bytes are no such message, or a blob does not fill its shape.
    """
    net = message(data)
    layers: dict[str, tuple[NDArray[Any], ...]] = {}
    # NetParameter: layer 100, layers 2. LayerParameter: name 1, blobs 7. V1LayerParameter: name 4, blobs 6.
    for number, name_field, blobs_field in ((100, 1, 7), (2, 4, 6)):
        for body in net.get(number, []):
            layer = message(body)
            if blobs := tuple(_blob(message(blob)) for blob in layer.get(blobs_field, [])):
                name = layer[name_field][0].decode()
                if name in layers:
                    raise ValueError(f"two layers called {name}")
                layers[name] = blobs
    return layers


def _blob(fields: Fields) -> NDArray[Any]:
    """BlobProto: shape 7 (or num, channels, height, width 1 to 4), data 5, double_data 8."""
    number, dtype = (8, "<f8") if 8 in fields else (5, "<f4")
    # Packed into one value, or, in old files, one value a number: both are the same bytes in a row.
    data = np.frombuffer(b"".join(fields.get(number, [])), dtype)
    if 7 in fields:
        dims = message(fields[7][0]).get(1, [])
        shape = tuple(size for value in dims for size in _dims(value))
    else:
        shape = tuple(int(fields.get(axis, [1])[0]) for axis in (1, 2, 3, 4))
    if math.prod(shape) != data.size:
        raise ValueError(f"a blob of {data.size} numbers for the shape {shape}")
    return data.reshape(shape)


def _dims(value: int | bytes) -> tuple[int, ...]:
    """BlobShape.dim: one number, or several packed into bytes."""
    if isinstance(value, int):
        return (signed(value),)
    sizes, at = [], 0
    while at < len(value):
        size, at = varint(value, at)
        sizes.append(signed(size))
    return tuple(sizes)
