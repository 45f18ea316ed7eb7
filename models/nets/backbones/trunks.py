"""The trunks that a pyramid can stand on, by name.

Each has `stages`, which gives maps of four resolutions, C2..C5: (N, C, H/4, W/4), /8, /16, /32; and `channels`, theirs.
"""

from bodystream.models.nets.backbones.densenet import DenseNet
from bodystream.models.nets.backbones.resnet import Norm, ResNet, resnet
from bodystream.models.nets.backbones.vgg import Vgg16

Trunk = ResNet | Vgg16 | DenseNet


def trunk(name: str, *, norm: Norm, width: int, stride_in_1x1: bool) -> Trunk:
    """Of "vgg16", which normalises nothing, "densenet121", or a name of `resnet.LAYERS`, without its classifier.

    `width` and `stride_in_1x1` are a ResNet's. Raises KeyError for another name.
    """
    if name == "vgg16":
        return Vgg16(classes=0)
    if name == "densenet121":
        return DenseNet(classes=0, norm=norm)
    return resnet(name, classes=0, norm=norm, width=width, stride_in_1x1=stride_in_1x1)
