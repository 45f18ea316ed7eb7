"""The semantic networks by their names in commands and files."""

from collections.abc import Callable, Mapping

from torch import nn

from bodystream.models.nets.backbones.resnet import ResNet, resnet
from bodystream.models.nets.semantic.deeplab import DeepLabV1, DeepLabV2, DeepLabV3
from bodystream.models.nets.semantic.fcn import Fcn

PERSON = 15  # among Pascal VOC's classes, background 0


def trunk(name: str, width: int = 64) -> ResNet:
    """A ResNet of `backbones.resnet.LAYERS` without classifier, at a stride of 8."""
    return resnet(name, 0, width=width, dilate=(False, True, True))


# Each is made without arguments, for Pascal VOC's 21 classes.
SEMANTIC: Mapping[str, Callable[[], nn.Module]] = {
    "fcn-r50": lambda: Fcn(trunk("resnet50")),
    "fcn-r101": lambda: Fcn(trunk("resnet101")),
    "deeplab-v3-r50": lambda: DeepLabV3(trunk("resnet50")),
    "deeplab-v3-r101": lambda: DeepLabV3(trunk("resnet101")),
    "deeplab-v2-r101": lambda: DeepLabV2(trunk("resnet101")),
    "deeplab-v1-vgg16": DeepLabV1,
}
