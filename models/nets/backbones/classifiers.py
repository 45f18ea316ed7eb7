"""The classifiers by their names in commands and files."""

from collections.abc import Callable, Mapping
from functools import partial

from torch import nn

from bodystream.models.nets.backbones.alexnet import AlexNet
from bodystream.models.nets.backbones.densenet import DenseNet
from bodystream.models.nets.backbones.googlenet import GoogLeNet
from bodystream.models.nets.backbones.lenet import LeNet5
from bodystream.models.nets.backbones.resnet import resnet
from bodystream.models.nets.backbones.vgg import Vgg16

# Each takes the number of classes. All but LeNet-5 take three channels, and their published weights have 1000.
CLASSIFIERS: Mapping[str, Callable[[int], nn.Module]] = {
    "lenet-5": LeNet5,
    "alexnet": AlexNet,
    "vgg-16": Vgg16,
    "googlenet": GoogLeNet,
    "resnet-18": partial(resnet, "resnet18"),
    "resnet-34": partial(resnet, "resnet34"),
    "resnet-50": partial(resnet, "resnet50"),
    "resnet-101": partial(resnet, "resnet101"),
    "densenet-121": DenseNet,
}
