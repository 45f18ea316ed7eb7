"""The R-CNN chain, of the user's checkpoints: trunk, boxes, masks, follow, keypoints, dense, vnect, steady, pose3d."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bodystream.errors import UsageError
from bodystream.models.body.data import identity
from bodystream.models.body.joint_sets import VNECT_21
from bodystream.models.body.parts import PARTS
from bodystream.models.keypoints import COCO_KEYPOINTS, VNECT_KEYPOINTS, layout_of
from bodystream.models.rcnn import conventions
from bodystream.models.runtime import Session
from bodystream.models.semantic import SemanticNet
from bodystream.models.vnect import ONE_SCALE, TWO_SCALES, VnectNet
from bodystream.pipeline.filters import PRESETS
from bodystream.pipeline.lens import Lens
from bodystream.pipeline.stages.follow import Follow
from bodystream.pipeline.stages.pose3d import FitPose3d
from bodystream.pipeline.stages.rcnn import Boxes, DenseMaps, Head, Keypoints, Masks, Pyramid, Trunk
from bodystream.pipeline.stages.semantic import SemanticMasks
from bodystream.pipeline.stages.steady import Steady
from bodystream.pipeline.stages.vnect import Vnect
from bodystream.pipeline.types import ModelInfo, Stage

MEAN_BODY = "the mean body's: VNect's own are of one height"  # whose bones poses in space have
# U and V of the official DensePose networks lie on charts of SMPL's surface, which is not ours.
CHARTS_OF_SMPL = {"name": "densepose (SMPL charts)"}
TRUNK, BOX, MASK, KEYPOINT, DENSE = "trunk", "box", "mask", "keypoint", "dense"
VNECT, SEMANTIC = "vnect", "semantic"  # systems of one piece


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A system of the family, made ready: its ONNX files by piece, "trunk", "box", "mask", "keypoint", "dense"; systems
    of one file have the piece "vnect" or "semantic"."""

    system: str
    pieces: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class RcnnChoices:
    """What the user can choose about the R-CNN chain beside its checkpoints."""

    dense: bool = True  # where a checkpoint has a head for it
    pose3d: bool = True  # where there is VNect
    semantic: bool = False  # masks by the semantic checkpoint in place of the mask head
    two_scales: bool = False  # of VNect's crops, whose maps are averaged
    max_people: int = 20
    min_score: float = 0.5
    smooth: str = "vnect"  # or "mediapipe", "off"
    height_m: float | None = None  # of everybody, if known
    contacts: bool = True  # feet that stand do not slide
    dense_refine: bool = True  # poses in space are drawn to where dense maps show the surface


@dataclass(frozen=True, slots=True)
class Plan:
    """Who of the checkpoints does what. The first that has a head does its work, and the first with a box head finds
    the people for all."""

    by: Mapping[str, Checkpoint]  # "box", "mask", "keypoint", "dense", "vnect", "semantic"

    @property
    def keypoints(self) -> tuple[str, ...]:
        """The header's: names of everybody's landmarks."""
        if VNECT in self.by:
            return VNECT_KEYPOINTS
        return COCO_KEYPOINTS if KEYPOINT in self.by else ()

    @property
    def surface(self) -> Mapping[str, Any]:
        """What the header says of dense maps: their parts' names and whose surface it is; nothing without them."""
        if DENSE not in self.by:
            return {}
        return {"parts": PARTS, "surface": identity() if self.on_our_surface else CHARTS_OF_SMPL}

    def poses(self, choices: RcnnChoices) -> bool:
        """Whether there are poses in space."""
        return VNECT in self.by and choices.pose3d

    @property
    def on_our_surface(self) -> bool:
        """Whether dense maps are of the surface that poses in space know."""
        return DENSE in self.by and not self.by[DENSE].system.startswith("densepose-")


def plan_of(checkpoints: Sequence[Checkpoint], choices: RcnnChoices) -> Plan:
    """Share the work out. Raises UsageError where nobody finds people, and where a checkpoint has nothing to do.

    With VNect, whose joints are in space too, there are no keypoints in the picture alone; with a semantic mask, no
    mask head.
    """

    def first(piece: str) -> Checkpoint | None:
        return next((each for each in checkpoints if piece in each.pieces), None)

    wanted = {piece: first(piece) for piece in (BOX, MASK, KEYPOINT, DENSE, VNECT, SEMANTIC)}
    if wanted[BOX] is None:
        names = ", ".join(each.system for each in checkpoints) or "none"
        raise UsageError(
            f"--chain rcnn needs a network that finds people, given is {names}; add --weights mask-rcnn-r50-fpn=FILE"
        )
    if wanted[VNECT] is not None:
        wanted[KEYPOINT] = None
    if choices.semantic:
        wanted[MASK] = None
    else:
        wanted[SEMANTIC] = None
    if not choices.dense:
        wanted[DENSE] = None
    by = {piece: checkpoint for piece, checkpoint in wanted.items() if checkpoint is not None}
    for each in checkpoints:
        if all(each is not other for other in by.values()):
            raise UsageError(f"--weights {each.system}: {_why_idle(each, by)}; leave it out")
    return Plan(by)


def _why_idle(checkpoint: Checkpoint, by: Mapping[str, Checkpoint]) -> str:
    if "cse" in checkpoint.pieces:
        return "the pipeline has no use for embeddings, only `bodystream export` has"
    if SEMANTIC in checkpoint.pieces:
        return "a semantic mask is asked for with --segment deeplab-v3 or fcn"
    given = ", ".join(f"{piece} by {other.system}" for piece, other in by.items())
    return f"it has nothing to do beside {given}"


def open_rcnn_stages(
    plan: Plan, choices: RcnnChoices, session: Callable[[Path], Session], lens: Lens
) -> list[Stage]:
    """The chain of a plan; `session` opens a file, and raises what opening raises."""
    return list(_stages(plan, choices, session, lens))


def _stages(
    plan: Plan, choices: RcnnChoices, session: Callable[[Path], Session], lens: Lens
) -> Iterator[Stage]:
    trunks: dict[Path, Pyramid] = {}

    def opened(piece: str, stage: str) -> tuple[Session, tuple[ModelInfo]]:
        found = session(plan.by[piece].pieces[piece])
        return found, (info(stage, found),)

    def trunk(piece: str) -> Iterator[Trunk]:
        """The trunk of the checkpoint that has this piece, unless it has one already."""
        path = plan.by[piece].pieces[TRUNK]
        if path not in trunks:
            name = f"trunk {len(trunks) + 1}" if trunks else "trunk"
            found = session(path)
            trunks[path] = Pyramid(conventions(found.metadata))
            yield Trunk(found, trunks[path], (info(name, found),), name, further=len(trunks) > 1)

    def head(piece: str, stage: str) -> tuple[Head, tuple[ModelInfo]]:
        found, models = opened(piece, stage)
        return Head(found, trunks[plan.by[piece].pieces[TRUNK]]), models

    yield from trunk(BOX)
    finder, models = opened(BOX, "boxes")
    pyramid = trunks[plan.by[BOX].pieces[TRUNK]]
    yield Boxes(finder, pyramid, models, choices.min_score, choices.max_people)
    if MASK in plan.by:
        yield from trunk(MASK)
        yield Masks(*head(MASK, "masks"))
    yield Follow()
    if KEYPOINT in plan.by:
        yield from trunk(KEYPOINT)
        yield Keypoints(*head(KEYPOINT, "keypoints"))
    if SEMANTIC in plan.by:
        net, models = opened(SEMANTIC, "semantic")
        yield SemanticMasks(semantic_net(net), models, layout_of(COCO_KEYPOINTS).edges)
    if DENSE in plan.by:
        yield from trunk(DENSE)
        yield DenseMaps(*head(DENSE, "dense"))
    if VNECT in plan.by:
        net, models = opened(VNECT, "vnect")
        yield Vnect(VnectNet(net, TWO_SCALES if choices.two_scales else ONE_SCALE), models)
    if plan.keypoints and choices.smooth != "off":
        yield Steady(PRESETS[choices.smooth])
    if plan.poses(choices):
        refine = choices.dense_refine and plan.on_our_surface
        yield FitPose3d(lens, choices.height_m, choices.contacts, refine, joints=VNECT_21)


def semantic_net(session: Session) -> SemanticNet:
    """A semantic network at the size that its file was made for."""
    _, height, width, _ = (int(axis) for axis in session.input)
    return SemanticNet(session, (width, height))


def info(stage: str, session: Session) -> ModelInfo:
    """What the header says of a network that runs in a stage."""
    return ModelInfo(stage, session.name, session.sha256, session.provider, session.precision, session.input)
