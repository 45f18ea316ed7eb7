"""The systems of the R-CNN family by name, and what `--weights [SYSTEM=]SOURCE` means. Without torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bodystream.errors import UsageError
from bodystream.models.zoo import ZOO

Kind = Literal["rcnn", "densepose", "vnect", "semantic", "classifier"]

# Names by what the system is for. Those of the R-CNN kinds are the keys of models/nets/rcnn/system.py.
SYSTEMS: Mapping[Kind, tuple[str, ...]] = {
    "rcnn": (
        "faster-rcnn-r50-fpn",
        "faster-rcnn-vgg16-fpn",
        "faster-rcnn-densenet121-fpn",
        "mask-rcnn-r50-fpn",
        "keypoint-rcnn-r50-fpn",
        "faster-rcnn-r50-fpn-d2",
        "faster-rcnn-r101-fpn-d2",
        "mask-rcnn-r50-fpn-d2",
        "mask-rcnn-r101-fpn-d2",
        "keypoint-rcnn-r50-fpn-d2",
        "keypoint-rcnn-r101-fpn-d2",
        "rcnn-s",
    ),
    "densepose": (
        "densepose-r50-fpn-s1x",
        "densepose-r50-fpn-dl-s1x",
        "densepose-r101-fpn-s1x",
        "densepose-r101-fpn-dl-s1x",
        "densepose-r50-fpn-s1x-legacy",
        "densepose-r101-fpn-s1x-legacy",
        "densepose-cse-r50-fpn-s1x",
    ),
    "vnect": ("vnect",),
    "semantic": (
        "fcn-r50",
        "fcn-r101",
        "deeplab-v3-r50",
        "deeplab-v3-r101",
        "deeplab-v2-r101",
        "deeplab-v1-vgg16",
    ),
    "classifier": (
        "lenet-5",
        "alexnet",
        "vgg-16",
        "googlenet",
        "resnet-18",
        "resnet-34",
        "resnet-50",
        "resnet-101",
        "densenet-121",
    ),
}
NAMES = tuple(name for names in SYSTEMS.values() for name in names)
LONGEST_HEAD = 1 << 24  # bytes that a safetensors file says its names in: some KB
DEFAULT = "mask-rcnn-r50-fpn"  # of random:SEED alone: boxes and masks


@dataclass(frozen=True, slots=True)
class WeightsSpec:
    """Weights as they are asked for.

    `system` is None where the file itself has to tell; `place` is a path or a name of the zoo, or
    "random:SEED", and then `seed` is set.
    """

    system: str | None
    place: str
    seed: int | None = None

    def __str__(self) -> str:
        return f"{self.system}={self.place}" if self.system else self.place


def parse(text: str) -> WeightsSpec:
    """Take "[SYSTEM=]SOURCE" apart; the zoo's entries and files of `bodystream train` say their system, random:SEED
    alone is DEFAULT.

    Raises UsageError for a system that is not known, and for a seed that is no number.
    """
    head, equals, rest = text.partition("=")
    system, place = (head, rest) if equals and not Path(text).exists() else (None, text)
    if system is not None and system not in NAMES:
        raise UsageError(f"{text}: no system called {system!r}; known: {', '.join(NAMES)}")
    if not place:
        raise UsageError(
            f"{text!r} names no weights: expected [SYSTEM=]FILE, a name of the zoo, or random:SEED"
        )
    if place.startswith("random:"):
        seed = place.removeprefix("random:")
        if not seed.isdecimal():
            raise UsageError(f"{text}: the seed {seed!r} is no whole number: random:0")
        return WeightsSpec(system or DEFAULT, place, int(seed))
    of_zoo = next((e.system for e in ZOO if e.name == place and e.system), None)
    return WeightsSpec(system or of_zoo or _told(Path(place)), place)


def _told(file: Path) -> str | None:
    """The system that a safetensors file says it is of; its first 8 bytes are the length of the JSON after them."""
    if file.suffix != ".safetensors" or not file.is_file():
        return None
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        head = opened.read(min(length, LONGEST_HEAD))
    try:
        system = json.loads(head)["__metadata__"]["system"]
    except (ValueError, KeyError, TypeError):  # told by what reads it whole
        return None
    return system if system in NAMES else None


def kind_of(system: str) -> Kind:
    """What a system is for. Raises UsageError for a name that is not known."""
    for kind, names in SYSTEMS.items():
        if system in names:
            return kind
    raise UsageError(f"no system called {system!r}; known: {', '.join(NAMES)}")
