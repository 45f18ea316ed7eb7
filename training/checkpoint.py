"""All that a training run goes on from, as one safetensors file: nothing in it can carry code."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from bodystream.errors import WeightsCorrupt, WeightsMissing

FORMAT = "bodystream training/1"
Optimiser = torch.optim.AdamW | torch.optim.SGD


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come: samples seen, steps taken, seconds at work, and the seed it follows from."""

    samples: int = 0
    step: int = 0
    wall_s: float = 0.0
    seed: int = 0


def save_checkpoint(
    path: Path, progress: Progress, net: nn.Module, ema: nn.Module, optimiser: Optimiser
) -> None:
    """Write or replace the file, whole or not at all."""
    tensors = {f"net.{name}": value for name, value in net.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in ema.state_dict().items()}
    for name, parameter in net.named_parameters():
        for moment in moments_of(optimiser):
            tensors[f"{moment}.{name}"] = optimiser.state[parameter][moment]
    write(path, tensors, {"format": FORMAT, "progress": json.dumps(asdict(progress))})


def load_checkpoint(
    path: Path, network: str, net: nn.Module, ema: nn.Module, optimiser: Optimiser
) -> Progress:
    """Put the file's contents into the three, and tell how far the run had come; `network` is its name.

    Raises WeightsMissing where there is none, WeightsCorrupt where it is not of this network or damaged.
    """
    if not path.exists():
        raise WeightsMissing(f"{path}: no checkpoint to go on from; leave --resume out")
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        if metadata.get("format") != FORMAT:
            raise WeightsCorrupt(f"{path}: not a checkpoint of {FORMAT}; name another folder")
        progress = Progress(**json.loads(metadata["progress"]))
        net.load_state_dict(_those_of("net", tensors))
        ema.load_state_dict(_those_of("ema", tensors))
        for name, parameter in net.named_parameters():
            moments = {m: tensors[f"{m}.{name}"].to(parameter) for m in moments_of(optimiser)}
            optimiser.state[parameter] = {"step": torch.tensor(float(progress.step)), **moments}
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, WeightsCorrupt):
            raise
        raise WeightsCorrupt(f"{path}: not a checkpoint of {network}: {_first_line(error)}") from error
    return progress


def moments_of(optimiser: Optimiser) -> tuple[str, ...]:
    """What it keeps of each parameter."""
    return ("momentum_buffer",) if isinstance(optimiser, torch.optim.SGD) else ("exp_avg", "exp_avg_sq")


def save_weights(
    path: Path, tensors: Mapping[str, Tensor], progress: Progress, metadata: Mapping[str, str] | None = None
) -> None:
    """Write or replace the weights alone, as `models.weights` reads them."""
    write(path, tensors, {"samples": str(progress.samples), "seed": str(progress.seed), **(metadata or {})})


def write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """A safetensors file at `path`, whole or not at all."""
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        part.write_bytes(save(whole, metadata))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _those_of(kind: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name.removeprefix(f"{kind}."): value for name, value in tensors.items() if name.startswith(f"{kind}.")
    }


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(":")
