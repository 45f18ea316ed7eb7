"""A torch module to an ONNX file, by the dynamo exporter."""

import logging
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bodystream.errors import ExportFailed
from bodystream.export.meta import OPSET
from bodystream.export.onnx_ops import TRANSLATIONS

Tensors = Mapping[str, Tensor]

FREE_BATCHES = (0, 1, 2, 5)  # nobody, one, and more than a file with a free batch was traced with


@dataclass(frozen=True, slots=True)
class Exportable:
    """A module that takes tensors in the order of `example`, and returns a tuple of those that `tolerances` names.

    `example` gives inputs by name for as many pictures or people as asked for, the same at every call; one for a
    fixed number K gets K, the rest of them empty. `tolerances` says how far onnxruntime may be from torch,
    absolutely, or by how much of the largest value for those in `growing`, once that is above 1. `ties` tells for
    inputs where rounding decides between answers that are far apart: bool, by the outputs' names, with their first
    and their last axes. `reference` is what `check` compares with, where that is not the module itself, as for one
    in half precision, and `sizes` for how many pictures or people. `fixed` is for a module of fixed shapes.
    """

    module: nn.Module
    example: Callable[[int], Tensors]
    tolerances: Mapping[str, float]
    growing: Collection[str] = ()
    ties: Callable[..., Tensors] | None = None
    reference: nn.Module | None = None
    fixed: bool = False
    sizes: tuple[int, ...] = FREE_BATCHES


def pictures(name: str, *shape: int) -> Callable[[int], Tensors]:
    """An `Exportable.example` of one input: uint8 (N, *shape), noise."""

    def example(batch: int) -> Tensors:
        generator = torch.Generator().manual_seed(batch)
        return {name: torch.randint(0, 256, (batch, *shape), generator=generator, dtype=torch.uint8)}

    return example


def to_onnx(
    network: Exportable,
    path: Path,
    metadata: Mapping[str, str],
    batch: int | None = None,
    opset: int = OPSET,
) -> None:
    """Write the module as an ONNX file; `batch` freezes all shapes, None leaves the first axis free.

    Raises ExportFailed where torch cannot express the module, or not for every batch.
    """
    kind = type(network.module).__name__
    batch = network.sizes[-1] if network.fixed else batch
    example = network.example(batch or 2)  # torch takes an example axis of 0 or 1 for a constant
    free = tuple({0: torch.export.Dim("batch")} for _ in example)
    try:
        with _only_news():
            program = torch.onnx.export(
                network.module.eval(),
                tuple(example.values()),
                input_names=list(example),
                output_names=list(network.tolerances),
                dynamic_shapes=None if batch else free,
                opset_version=opset,
                custom_translation_table=dict(TRANSLATIONS),
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


# What torch 2.13 says at every export and nobody can act on: "torchvision is not installed", which is not needed;
# that constants among the outputs are kept apart.
TALKATIVE = ("torch.onnx._internal.exporter._registration", "onnx_ir.passes.common.initializer_deduplication")


@contextmanager
def _only_news() -> Iterator[None]:
    """Leave out what torch says at every export."""
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(  # torch's own use, in copying its trees
                "ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning
            )
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _first_line(error: Exception) -> str:
    return str(error.__cause__ or error).strip().partition("\n")[0]
