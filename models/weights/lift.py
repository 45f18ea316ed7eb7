"""Weights of lift-s."""

from pathlib import Path

from bodystream.models.nets.lift import Lift
from bodystream.models.weights.trained import load_trained


def load_lift(path: Path) -> Lift:
    """The network of a file that `bodystream train lift` wrote, in eval mode. Raises WeightsCorrupt."""
    return load_trained(path, Lift(), "lift-s")
