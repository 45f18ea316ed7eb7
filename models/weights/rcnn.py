"""Weights of R-CNNs: torchvision's, detectron2's, those that `bodystream train rcnn` writes, or a seed's."""

from pathlib import Path

from bodystream.models.nets.rcnn.system import Rcnn
from bodystream.models.systems import WeightsSpec
from bodystream.models.weights.networks import load


def load_rcnn(weights: WeightsSpec, path: Path | None) -> tuple[str, Rcnn]:
    """The network in eval mode, and its system's name. See `networks.load` for `path` and what is raised."""
    system, net = load(weights, path, ("rcnn", "densepose"))
    assert isinstance(net, Rcnn)
    return system, net
