"""A torch module to an ONNX file, by the dynamo exporter."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bodystream.errors import ExportFailed
from bodystream.export.meta import OPSET


@dataclass(frozen=True, slots=True)
class Exportable:
    """A module that takes one tensor (N, ...) and returns a tuple of tensors (N, ...).

    `example` gives an input of the batch asked for, the same at every call. `tolerances` names the outputs in
    order, and says how far onnxruntime may be from torch, absolutely. `ties` tells for an input where rounding
    decides between answers that are far apart, bool (N, ...) with the last axes of the outputs.
    """

    module: nn.Module
    input_name: str
    example: Callable[[int], Tensor]
    tolerances: Mapping[str, float]
    ties: Callable[[Tensor], Tensor] | None = None


def pictures(*shape: int) -> Callable[[int], Tensor]:
    """An `Exportable.example`: uint8 (N, *shape), noise."""

    def example(batch: int) -> Tensor:
        generator = torch.Generator().manual_seed(batch)
        return torch.randint(0, 256, (batch, *shape), generator=generator, dtype=torch.uint8)

    return example


def to_onnx(network: Exportable, path: Path, metadata: Mapping[str, str], batch: int | None = None) -> None:
    """Write the module as an ONNX file; `batch` freezes the first axis, None leaves it free.

    Raises ExportFailed where torch cannot express the module, or not for every batch.
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
    shape = program.model.graph.inputs[0].shape
    if batch is None and (shape is None or isinstance(shape[0], int)):
        # torch 2.13 falls back to the example's batch without a word, as where a module asks for len(tensor).
        raise ExportFailed(f"torch fixes the batch of {kind}, which should be free")
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
