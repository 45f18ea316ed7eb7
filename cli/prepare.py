"""Networks made ready before a command runs them: fetched, exported and checked once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bodystream.errors import UsageError

if TYPE_CHECKING:  # these bring numpy, and --help must answer at once
    from bodystream.models.systems import WeightsSpec
    from bodystream.pipeline.lens import Lens
    from bodystream.pipeline.stages import Choices, Placement
    from bodystream.pipeline.stages.rcnn_chain import Checkpoint, Plan, RcnnChoices
    from bodystream.pipeline.types import SourceInfo, Stage

LONG_SIDE = 640  # px, of what pictures are scaled into where --net-size does not say
SMALL_SIDE = {"rcnn-s": 320}  # of networks that were trained on smaller pictures, which never see larger ones
MULTIPLE = 32  # of its sides
LOT = 4  # people at whom heads look at once: few, since a single one costs as much as so many


@dataclass(frozen=True, slots=True)
class Own:
    """The user's own networks: `weights` as --weights has them, `size` (width, height) as --net-size has it, None for
    the source's own shape; how many `proposals` an R-CNN looks at; and how the name of the `semantic` network begins
    that parts people from the rest, if one does."""

    weights: "Sequence[WeightsSpec]" = ()
    size: tuple[int, int] | None = None
    proposals: int = 100
    semantic: str | None = None


@dataclass(frozen=True, slots=True)
class Chained:
    """A chain, and what the results' header says of it."""

    stages: "list[Stage]"
    keypoints: tuple[str, ...]
    keys: Mapping[str, Any] = field(default_factory=dict)


def prepared(names: Sequence[str], *, offline: bool) -> list[Path]:
    """Return the ONNX files of the networks called `names`; with a warm cache this imports no torch."""
    from bodystream.cli.screen import progress_bars
    from bodystream.export.prepare import prepare

    with progress_bars() as progress:
        return [prepare(name, progress=progress, offline=offline or None) for name in names]


def fetched(places: Sequence[str], *, offline: bool) -> list[Path]:
    """Return files by path, or by a name of the zoo, fetched where they are not here."""
    from bodystream.cli.screen import progress_bars, say
    from bodystream.models.store import resolve

    with progress_bars() as progress:
        return [resolve(place, offline=offline or None, progress=progress, tell=say) for place in places]


def chain_of(
    choices: "Choices", placement: "Placement", lens: "Lens | None" = None, *, offline: bool
) -> "list[Stage]":
    """The chain with the networks that were chosen, for a camera with this lens (None: a guess).

    Raises what preparing and opening the networks raises.
    """
    from bodystream.pipeline.lens import GUESS
    from bodystream.pipeline.stages import open_stages

    paths = prepared(choices.networks, offline=offline)
    return open_stages(dict(zip(choices.networks, paths, strict=True)), choices, placement, lens or GUESS)


def light_chain(
    choices: "Choices",
    own: Own,
    placement: "Placement",
    lens: "Lens",
    source: "SourceInfo",
    *,
    offline: bool,
) -> Chained:
    """The default chain, with the masks of a semantic network where one is asked for. Raises as `chain_of`."""
    from dataclasses import replace

    from bodystream.models.keypoints import KEYPOINTS
    from bodystream.pipeline.stages import open_stages, pose_keys, surface_keys

    files = {}
    if own.semantic is not None:
        _check_systems(own, [own.semantic])
        parter, *others = _semantic_first(checkpoints_of(own, source, offline=offline), own.semantic)
        if others:
            raise UsageError(f"--weights {others[0].system} belongs to --chain rcnn; leave it out")
        choices = replace(choices, semantic=parter.system)
        files[parter.system] = parter.pieces["semantic"]
    files |= dict(zip(choices.networks, prepared(choices.networks, offline=offline), strict=True))
    stages = open_stages(files, choices, placement, lens)
    return Chained(stages, KEYPOINTS, surface_keys(choices) | pose_keys(choices, lens, source))


def rcnn_chain(
    choices: "RcnnChoices",
    own: Own,
    placement: "Placement",
    lens: "Lens",
    source: "SourceInfo",
    outputs: Sequence[str],
    *,
    poses: bool,
    offline: bool,
) -> Chained:
    """The R-CNN chain, which is to give what the suffixes of `outputs` need, and `poses` in space if asked for.

    Raises as `chain_of`, and UsageError.
    """
    from functools import partial

    from bodystream.pipeline.lens import header_keys
    from bodystream.pipeline.stages import opened
    from bodystream.pipeline.stages.rcnn_chain import MEAN_BODY, open_rcnn_stages, plan_of

    if not own.weights:
        raise UsageError(
            "--chain rcnn runs networks of your own; add --weights mask-rcnn-r50-fpn=FILE, a name of "
            "`bodystream models list`, or to try it out --weights random:0"
        )
    needed = ["vnect"] if poses else []
    _check_systems(own, [FINDS_PEOPLE, *needed, *([own.semantic] if own.semantic else [])])
    checkpoints = checkpoints_of(own, source, offline=offline)
    if own.semantic is not None:
        _semantic_first(checkpoints, own.semantic)
    plan = plan_of(checkpoints, choices)
    if poses and not plan.poses(choices):
        raise _missing("vnect", [each.system for each in checkpoints])
    _check_outputs(plan, outputs)
    stages = open_rcnn_stages(plan, choices, partial(opened, placement=placement), lens)
    in_space = header_keys(lens, source, choices.height_m, MEAN_BODY) if plan.poses(choices) else {}
    return Chained(stages, plan.keypoints, {**plan.surface, **in_space})


def checkpoints_of(own: Own, source: "SourceInfo", *, offline: bool) -> "list[Checkpoint]":
    """The user's networks, made ready for pictures of the source's shape. Raises as `chain_of`."""
    from bodystream.cli.screen import progress_bars, say
    from bodystream.export.prepare import prepare_system
    from bodystream.models.rcnn import Shape
    from bodystream.pipeline.stages.rcnn_chain import Checkpoint

    found = []
    with progress_bars() as progress:
        for weights in own.weights:
            long_side = SMALL_SIDE.get(weights.system or "", LONG_SIDE)
            width, height = own.size or net_size(source.width, source.height, long_side)
            # VNect looks at crops: one file does for all pictures.
            shape = Shape() if weights.system == "vnect" else Shape(height, width, own.proposals, LOT)
            made = prepare_system(weights, shape, progress=progress, tell=say, offline=offline or None)
            found.append(Checkpoint(made.name, made.pieces))
    return found


def net_size(width: int, height: int, long_side: int = LONG_SIDE) -> tuple[int, int]:
    """What pictures of this size are scaled into: their shape, `long_side` along the longer side, multiples of px."""
    scale = long_side / max(width, height)
    w, h = (max(2, -(-round(side * scale) // MULTIPLE)) * MULTIPLE for side in (width, height))
    return w, h


FINDS_PEOPLE = "mask-rcnn-r50-fpn"  # for example
_BACKBONE = {"fcn": "r50", "deeplab-v1": "vgg16", "deeplab-v2": "r101", "deeplab-v3": "r50"}


def _check_systems(own: Own, needed: Sequence[str]) -> None:
    """Raise UsageError where the names of the systems tell already that one of the `needed` is not among them.

    A file without a name tells what it is when it is read: then it is looked for afterwards. Making files takes a
    minute; this takes none.
    """
    from bodystream.models.systems import kind_of

    systems = [weights.system for weights in own.weights]
    names = [name for name in systems if name is not None]
    if len(names) < len(systems):
        return
    for need in needed:
        if need == FINDS_PEOPLE:
            there = any(kind_of(name) in ("rcnn", "densepose") for name in names)
        else:
            there = any(name == need or name.startswith(f"{need}-") for name in names)
        if not there:
            raise _missing(need, names)


def _missing(need: str, names: Sequence[str]) -> UsageError:
    given, example = ", ".join(names) or "none", f"--weights {_example(need)}=FILE"
    if need in _BACKBONE:
        return UsageError(f"--segment {need} needs its weights, given is {given}; add {example}")
    what = "--chain rcnn needs a network that finds people"
    if need != FINDS_PEOPLE:
        what = "poses in space need VNect"
    return UsageError(f"{what}, given is {given}; add {example}")


def _example(need: str) -> str:
    return f"{need}-{_BACKBONE[need]}" if need in _BACKBONE else need


def _semantic_first(checkpoints: "Sequence[Checkpoint]", name: str) -> "list[Checkpoint]":
    """The checkpoints, the semantic one whose system's name begins with `name` first. Raises UsageError for none."""
    for each in checkpoints:
        if "semantic" in each.pieces and each.system.startswith(f"{name}-"):
            return [each, *(other for other in checkpoints if other is not each)]
    raise _missing(name, [each.system for each in checkpoints])


def _check_outputs(plan: "Plan", outputs: Sequence[str]) -> None:
    """Raise UsageError where an output needs dense maps, which no checkpoint gives."""
    for name in outputs:
        if name.rstrip("/").lower().endswith(".iuv") and not plan.surface:
            raise UsageError(
                f"{name} shows dense correspondence, for which no network is given; add --weights "
                "densepose-r50-fpn-s1x=FILE"
            )
