"""What happens to a frame, in order: detect, segment, track, lift, body, dense, pose3d. `rcnn_chain` is another way."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bodystream.models.body.data import identity
from bodystream.models.body.parts import PARTS
from bodystream.models.dense import CorrespondenceNet
from bodystream.models.detector import Detector
from bodystream.models.lift import LiftNet
from bodystream.models.pose import PoseNet
from bodystream.models.runtime import Session, open_session
from bodystream.pipeline.filters import PRESETS
from bodystream.pipeline.lens import GUESS, Lens, header_keys
from bodystream.pipeline.stages.body import PoseBody
from bodystream.pipeline.stages.dense import DenseCorrespondence
from bodystream.pipeline.stages.detect import Detect
from bodystream.pipeline.stages.lift import Lift
from bodystream.pipeline.stages.pose3d import FitPose3d
from bodystream.pipeline.stages.rcnn_chain import info, semantic_net
from bodystream.pipeline.stages.segment import Segment
from bodystream.pipeline.stages.semantic import SemanticMasks
from bodystream.pipeline.stages.track import Track
from bodystream.pipeline.types import SourceInfo, Stage


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user can choose about the stages; networks by their names, "off" for stages to be left out."""

    detect: str = "picodet-s"
    segment: str = "full"  # or "lite", "heavy"
    lift: str = "off"  # or a network's name
    dense: str = "off"  # or "baseline", or a network's name
    semantic: str = "off"  # or a system's name, whose mask of all persons replaces the landmark net's masks
    pose3d: str = "off"  # or "fit"
    detect_every: int = 10
    max_people: int = 20
    min_score: float = 0.2
    smooth: str = "mediapipe"  # or "vnect", "off"
    repair_flips: bool = True
    height_m: float | None = None  # of everybody, if known
    contacts: bool = True  # feet that stand do not slide
    dense_refine: bool = True  # poses in space are drawn to where dense maps show the surface

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the networks that these stages run, but for a semantic one, whose weights are the user's."""
        more = [name for name in (self.lift, self.dense) if name not in ("off", "baseline")]
        return (self.detect, f"blazepose-{self.segment}", *more)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the networks run."""

    device: str = "auto"
    threads: int | None = None
    spin: bool = False


def open_stages(
    networks: Mapping[str, Path],
    choices: Choices,
    placement: Placement,
    lens: Lens = GUESS,
) -> list[Stage]:
    """The default chain, from the ONNX files of `choices.networks` and of `choices.semantic`, made by `export`.

    `lens` is the camera's. Raises DeviceUnavailable where the device cannot be had, ModelError for a broken file.
    """

    def session(name: str) -> Session:
        return opened(networks[name], placement)

    finder, looker = (session(name) for name in choices.networks[:2])
    stages: list[Stage] = [
        Detect(
            Detector(finder, min_score=choices.min_score),
            (info("detect", finder),),
            every=choices.detect_every,
            max_people=choices.max_people,
        ),
        Segment(PoseNet(looker), (info("segment", looker),)),
    ]
    if choices.semantic != "off":
        parter = session(choices.semantic)
        stages.append(SemanticMasks(semantic_net(parter), (info("semantic", parter),)))
    stages.append(Track(PRESETS.get(choices.smooth), choices.repair_flips))
    if choices.lift != "off":
        mender = session(choices.lift)
        stages.append(Lift(LiftNet(mender), lens, (info("lift", mender),)))
    if choices.dense != "off" or choices.pose3d != "off":
        stages.append(PoseBody())
    if choices.dense == "baseline":
        stages.append(DenseCorrespondence())
    elif choices.dense != "off":
        corrector = session(choices.dense)
        stages.append(DenseCorrespondence(CorrespondenceNet(corrector), (info("dense", corrector),)))
    if choices.pose3d != "off":
        stages.append(FitPose3d(lens, choices.height_m, choices.contacts, choices.dense_refine))
    return stages


def opened(path: Path, placement: Placement) -> Session:
    """The network of an ONNX file, where it is to run. Raises DeviceUnavailable, ModelError."""
    return open_session(path, device=placement.device, threads=placement.threads, spin=placement.spin)


def surface_keys(choices: Choices) -> dict[str, Any]:
    """Return what the results' header says of the body surface: its parts' names and which surface it is."""
    return {} if choices.dense == "off" else {"parts": PARTS, "surface": identity()}


def pose_keys(choices: Choices, lens: Lens, source: SourceInfo) -> dict[str, Any]:
    """Return what the results' header says of poses in space; without them, nothing."""
    return {} if choices.pose3d == "off" else header_keys(lens, source, choices.height_m)
