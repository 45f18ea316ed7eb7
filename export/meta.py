"""What an ONNX file of bodystream says of itself: strings in its metadata, for people and for the runtime."""

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from torch import nn

import bodystream
from bodystream.models.runtime import KEY_PREFIX
from bodystream.models.zoo import Entry

OPSET = 18  # The exporter's own. Shape of opset 21 has no CUDA kernel: microsoft/onnxruntime#26065.
OPSETS = (18, 19, 20)  # that torch 2.13 writes and every file is right in


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a file's parameters come from: `sha256` is what results files know the network by."""

    stage: str
    sha256: str
    sources: Mapping[str, str]  # sha256 by name of all that went in
    licence: str = ""
    paper: str = ""


def origin_of(weights: Sequence[Entry]) -> Origin:
    """Of weights of the zoo, the first of which holds the parameters."""
    first = weights[0]
    sources = {entry.name: entry.sha256 for entry in weights}
    return Origin(first.stage, first.sha256, sources, first.licence, first.paper)


def metadata(
    name: str,
    module: nn.Module,
    origin: Origin,
    precision: str = "fp32",
    opset: int = OPSET,
    more: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """Metadata for the file made from `module`, whose docstring tells the meaning of its inputs and outputs."""
    values = {
        "name": name,
        "stage": origin.stage,
        "sha256": origin.sha256,
        "sources": json.dumps(origin.sources),
        "licence": origin.licence,
        "paper": origin.paper,
        "interface": inspect.getdoc(type(module)) or "",
        "precision": precision,
        "opset": str(opset),
        "version": bodystream.__version__,
        **more,
    }
    return {KEY_PREFIX + key: value for key, value in values.items()}
