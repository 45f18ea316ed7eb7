"""A torch module to an ONNX file, by the dynamo exporter."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bodystream.errors import ExportFailed
from bodystream.export.meta import OPSET


@dataclass(frozen=True, slots=True)
class Exportable:
    """A module that takes uint8 pictures (N, *picture) and returns a tuple of tensors (N, ...).

    `tolerances` names the outputs in order, and says how far onnxruntime may be from torch, absolutely.
    """

    module: nn.Module
    input_name: str
    picture: tuple[int, ...]
    tolerances: Mapping[str, float]

    def example(self, batch: int) -> Tensor:
        """Noise of the right shape and dtype, the same at every call."""
        generator = torch.Generator().manual_seed(batch)
        return torch.randint(0, 256, (batch, *self.picture), generator=generator, dtype=torch.uint8)


def to_onnx(network: Exportable, path: Path, metadata: Mapping[str, str], batch: int | None = None) -> None:
    """Write the module as an ONNX file; `batch` freezes the first axis, None leaves it free.

    Raises ExportFailed where torch cannot express the module.
    """
    kind = type(network.module).__name__
    free = ({0: torch.export.Dim("batch")},)
    try:
        with _only_news():
            program = torch.onnx.export(
                network.module.eval(),
                (network.example(batch or 2),),  # torch takes an example axis of 0 or 1 for a constant
                input_names=[network.input_name],
                output_names=list(network.tolerances),
                dynamic_shapes=None if batch else free,
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ExportFailed(f"torch cannot express {kind} in ONNX: {_first_line(error)}") from error
    if program is None:
        raise ExportFailed(f"torch gave no graph for {kind}")
    for node in program.model.graph:
        node.metadata_props.clear()  # stack traces, with the paths of the machine that made the file
    program.model.metadata_props.update(metadata)
    program.save(path, external_data=False)


@contextmanager
def _only_news() -> Iterator[None]:
    """Leave out the two things that torch 2.13 says at every export and that nobody can act on."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)  # "torchvision is not installed": it is not needed
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(  # torch's own use, in copying its trees
                "ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning
            )
            yield
    finally:
        registration.setLevel(level)


def _first_line(error: Exception) -> str:
    return str(error.__cause__ or error).strip().partition("\n")[0]
