"""What an ONNX file of bodystream says of itself: strings in its metadata, for people and for the runtime."""

import inspect
import json
from collections.abc import Sequence

from torch import nn

import bodystream
from bodystream.models.runtime import KEY_PREFIX
from bodystream.models.zoo import Entry

OPSET = 18  # The exporter's own. Shape of opset 21 has no CUDA kernel: microsoft/onnxruntime#26065.
PRECISION = "fp32"


def metadata(name: str, module: nn.Module, weights: Sequence[Entry]) -> dict[str, str]:
    """Metadata for the file made from `module`, whose docstring tells the meaning of its input and outputs.

    The first of `weights` holds the parameters; its sha256 is what results files know the network by.
    """
    first = weights[0]
    values = {
        "name": name,
        "stage": first.stage,
        "sha256": first.sha256,
        "sources": json.dumps({entry.name: entry.sha256 for entry in weights}),
        "licence": first.licence,
        "paper": first.paper,
        "interface": inspect.getdoc(type(module)) or "",
        "precision": PRECISION,
        "opset": str(OPSET),
        "version": bodystream.__version__,
    }
    return {KEY_PREFIX + key: value for key, value in values.items()}
