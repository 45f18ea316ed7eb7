"""Weights of dense-s."""

from pathlib import Path

from bodystream.models.nets.correspondence import Correspondence
from bodystream.models.weights.trained import load_trained


def load_correspondence(path: Path) -> Correspondence:
    """The network of a file that `bodystream train dense` wrote, in eval mode. Raises WeightsCorrupt."""
    return load_trained(path, Correspondence(), "dense-s")
