"""Weights from a seed: for timing, for tests, and for parity with other code of the same network.

They follow from the seed and each parameter's name alone, so that another implementation with the same names,
in another process, gets the same numbers.
"""

import math
import re
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn

from bodystream.models.nets.rcnn.system import Rcnn, Spec

# By what an R-CNN's parameters are multiplied, where the pattern is in the name: so that sums over residual blocks
# and over the pyramid keep their size, proposals are spread over picture and sizes, and classes over the boxes.
RCNN_SCALES = (
    (r"body\.layer\d\.\d+\.bn3\.weight", 0.3),
    (r"fpn\.inner_blocks\.\d\.0\.weight", 0.2),
    (r"rpn\.head\.cls_logits\.weight", 0.5),
    (r"rpn\.head\.bbox_pred\.weight", 0.2),
    (r"box_predictor\.cls_score\.weight", 1.5),
    (r"box_predictor\.bbox_pred\.weight", 0.5),
)
PERSON_BIAS = 4.0  # added to the person's logit, if there are other classes: it is the one that is looked for
PIXEL_STD = 57.0  # of pictures, 0..255, as all normalisations have it


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


def random_rcnn(spec: Spec, seed: int) -> Rcnn:
    """The R-CNN of a spec with weights that find people in any picture: where, nobody can say.

    A trunk that takes pixels of 0..255 as they are has its first kernels made smaller by as much.
    """
    net = Rcnn(spec)
    fill_rcnn(net, seed, person=spec.person + (1 if spec.background_first else 0))
    with torch.no_grad():
        first = next(each for each in net.backbone.parameters() if each.dim() > 1)
        first.div_(max(1.0, PIXEL_STD / spec.std[0]))
    return net.eval()


def fill_rcnn(module: nn.Module, seed: int, person: int) -> None:
    """As `fill`, for an R-CNN of torchvision's names, scaled so that detections occur.

    `person` is the person's row of the box head's classes, background counted where it comes first.
    """
    fill(module, seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            for pattern, factor in RCNN_SCALES:
                if re.search(pattern, name):
                    tensor.mul_(factor)
            if name.endswith("box_predictor.cls_score.bias") and len(tensor) > 2:
                tensor[person] += PERSON_BIAS
