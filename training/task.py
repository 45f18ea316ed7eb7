"""What tells one network's training from another's; all else about a run is the same for all of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

N = TypeVar("N", bound=nn.Module)

Batch = tuple[NDArray[Any], ...]  # of N samples: arrays (N, ...), what they are is the task's own affair


@dataclass(frozen=True, slots=True)
class Task(Generic[N]):
    """The training of one network. It is sent to other processes, so its functions stand at the top of a module.

    `loss` is of a batch on the net's device, (K,), named by `losses`, and the first of them is minimised; what
    it draws comes from the generator, and the last argument asks for bfloat16. `counted` looks at held-out
    batches, float32 (`counts`,), which may be summed over parts of them; `figures` are made of the sum.
    `weights` are the tensors that the network is shipped as, and `metadata` what their file says of them.
    """

    name: str  # of the network
    make: Callable[[], N]
    losses: tuple[str, ...]
    loss: Callable[[N, tuple[Tensor, ...], torch.Generator, bool], Tensor]
    counts: int
    counted: Callable[[N, Sequence[Batch], torch.device], Tensor]
    figures: Callable[[Tensor], Mapping[str, float]]
    weights: Callable[[N], dict[str, Tensor]]
    weight_decay: float
    warm_up: int  # samples over which the rate rises to its peak; a tenth of a shorter run
    # Of the mean over steps that is the result. At the start it would hold much of the untrained net: there it
    # forgets faster.
    ema: float
    metadata: Mapping[str, str] = field(default_factory=dict)
    clip: float = (
        2.0  # norm of the gradient: as in the trial of 100 000 samples before dense-s (docs/dense.md)
    )
    optimiser: Literal["adamw", "sgd"] = "adamw"

    @property
    def file(self) -> str:
        """Of the weights."""
        return f"{self.name}.safetensors"
