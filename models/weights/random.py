"""Weights from a seed: for timing, for tests, and for parity with other code of the same network.

They follow from the seed and each parameter's name alone, so that another implementation with the same names,
in another process, gets the same numbers.
"""

import math
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn


def fill(module: nn.Module, seed: int) -> None:
    """Give every parameter and buffer of a module values that keep activations near unit size, in place.

    Kernels are normal with He et al.'s deviation (2015, arXiv:1502.01852); the scales of normalisations and
    their running variances lie about 1, shifts and means about 0.
    """
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(values(name, tuple(tensor.shape), seed))


def values(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """What the parameter of this name and shape is filled with: float32."""
    rng = np.random.default_rng([seed, crc32(name.encode())])
    if name.endswith("running_var"):
        drawn = rng.uniform(0.8, 1.2, shape)
    elif len(shape) > 1:
        drawn = rng.normal(0, math.sqrt(2 / math.prod(shape[1:])), shape)
    elif name.endswith("weight"):  # of a normalisation
        drawn = rng.uniform(0.8, 1.2, shape)
    else:
        drawn = rng.normal(0, 0.1, shape)
    return torch.from_numpy(drawn.astype(np.float32))
