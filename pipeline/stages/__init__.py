"""What happens to a frame, in order: detect, segment, track, body, dense."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bodystream.models.body.data import identity
from bodystream.models.body.parts import PARTS
from bodystream.models.dense import CorrespondenceNet
from bodystream.models.detector import Detector
from bodystream.models.pose import PoseNet
from bodystream.models.runtime import Session, open_session
from bodystream.pipeline.filters import PRESETS
from bodystream.pipeline.stages.body import PoseBody
from bodystream.pipeline.stages.dense import DenseCorrespondence
from bodystream.pipeline.stages.detect import Detect
from bodystream.pipeline.stages.segment import Segment
from bodystream.pipeline.stages.track import Track
from bodystream.pipeline.types import ModelInfo, Stage


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user can choose about the stages."""

    detect_every: int = 10
    max_people: int = 20
    min_score: float = 0.2
    smooth: str = "mediapipe"  # or "vnect", "off"
    repair_flips: bool = True
    dense: str = "off"  # or "baseline", or a network's name


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the networks run."""

    device: str = "auto"
    threads: int | None = None
    spin: bool = False


def open_stages(
    detector: Path, pose: Path, choices: Choices, placement: Placement, dense: Path | None = None
) -> list[Stage]:
    """The default chain, from ONNX files made by `export`.

    `dense` is that of the network that `choices.dense` names, None for "off" and "baseline". Raises
    DeviceUnavailable where the device cannot be had, ModelError for a broken file.
    """

    def session(path: Path) -> Session:
        return open_session(path, device=placement.device, threads=placement.threads, spin=placement.spin)

    finder, looker = session(detector), session(pose)
    stages: list[Stage] = [
        Detect(
            Detector(finder, min_score=choices.min_score),
            (_info("detect", finder),),
            every=choices.detect_every,
            max_people=choices.max_people,
        ),
        Segment(PoseNet(looker), (_info("segment", looker),)),
        Track(PRESETS.get(choices.smooth), choices.repair_flips),
    ]
    if choices.dense != "off":
        stages.append(PoseBody())
    if dense is not None:
        corrector = session(dense)
        stages.append(DenseCorrespondence(CorrespondenceNet(corrector), (_info("dense", corrector),)))
    elif choices.dense != "off":
        stages.append(DenseCorrespondence())
    return stages


def surface_keys(choices: Choices) -> dict[str, Any]:
    """Return what the results' header says of the body surface: its parts' names and which surface it is."""
    return {} if choices.dense == "off" else {"parts": PARTS, "surface": identity()}


def _info(stage: str, session: Session) -> ModelInfo:
    return ModelInfo(stage, session.name, session.sha256, session.provider, session.precision, session.input)
