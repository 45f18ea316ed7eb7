"""The flags, each defined once; a command's signature then reads as the list of what it takes."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import typer

from bodystream.errors import UsageError

BODIES = (".glb", ".rrd")  # suffixes of files that can hold body surfaces
MOTION = (".bvh", ".c3d", ".glb", ".trc")  # suffixes of files that are made of poses in space
INPUT, NETS, SPACE, TIME, OUTPUT = "Input", "Networks", "Space", "Time", "Output"

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A file, a camera index, an http or rtsp address, a folder, a glob, a %06d sequence, - or test:",
        show_default=False,
    ),
]
Outputs = Annotated[
    list[str] | None,
    typer.Option(
        "--output",
        "-o",
        help="Where to write; the suffix chooses the format. Repeats.",
        rich_help_panel=OUTPUT,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace outputs that exist.", rich_help_panel=OUTPUT)
]
Surface = Annotated[
    Literal["parts", "isolines", "off"],
    typer.Option(
        help="How dense correspondence is drawn: parts in colours, or lines of constant U and V without the skeleton.",
        rich_help_panel=OUTPUT,
    ),
]
TextureName = Annotated[
    str | None,
    typer.Option(
        "--texture",
        metavar="jersey|charts|FILE",
        help="Paint a texture onto everybody in place of parts and skeleton: 6 × 4 tiles in the order of the parts.",
        rich_help_panel=OUTPUT,
    ),
]
Mesh = Annotated[
    bool,
    typer.Option(
        "--mesh", help="Everybody's body surface in .glb, in place of bare bones.", rich_help_panel=OUTPUT
    ),
]
View = Annotated[
    bool,
    typer.Option(
        "--view",
        help="Open the viewer Rerun: picture, space, latencies; extra `viewer`. -o NAME.rrd records the same.",
        rich_help_panel=OUTPUT,
    ),
]
Show = Annotated[bool, typer.Option("--show", help="Open a live window.", rich_help_panel=OUTPUT)]
Json = Annotated[
    bool, typer.Option("--json", help="Print the summary as JSON on stdout.", rich_help_panel=OUTPUT)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say errors only.", rich_help_panel=OUTPUT)]

Start = Annotated[float | None, typer.Option(help="Begin at this media time, s.", rich_help_panel=INPUT)]
Finish = Annotated[
    float | None, typer.Option("--end", help="End at this media time, s.", rich_help_panel=INPUT)
]
Stride = Annotated[int, typer.Option(min=1, help="Take every so-many-th frame.", rich_help_panel=INPUT)]
MaxFrames = Annotated[
    int | None, typer.Option(min=1, help="Stop after so many frames.", rich_help_panel=INPUT)
]
Size = Annotated[
    str | None, typer.Option(help="Ask a camera for this size: 1280x720.", rich_help_panel=INPUT)
]
Rate = Annotated[
    float | None,
    typer.Option("--fps", help="Ask a camera for this rate; play a folder at it.", rich_help_panel=INPUT),
]
FourCC = Annotated[
    str | None, typer.Option("--fourcc", help="Ask a camera for this format: MJPG.", rich_help_panel=INPUT)
]

DetectNet = Annotated[
    Literal["picodet-s"], typer.Option("--detect", help="The person detector.", rich_help_panel=NETS)
]
ChainName = Annotated[
    Literal["light", "rcnn"],
    typer.Option(
        "--chain",
        help="Which networks work on a frame: light ones that come along, or the R-CNN family of --weights.",
        rich_help_panel=NETS,
    ),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        metavar="[SYSTEM=]SOURCE",
        help="Networks of your own, for --chain rcnn and --segment deeplab-v3: a file, a name of `models list`, or "
        "random:SEED. Repeats: the first finds the people, others add masks, keypoints, dense maps, vnect.",
        rich_help_panel=NETS,
    ),
]
NetSize = Annotated[
    str | None,
    typer.Option(
        "--net-size",
        metavar="WxH",
        help="What pictures are scaled into for networks of --weights, multiples of 32; 640 along the long side if "
        "not given.",
        rich_help_panel=NETS,
    ),
]
Proposals = Annotated[
    int, typer.Option(min=1, help="Boxes that an R-CNN looks at for people.", rich_help_panel=NETS)
]
TwoScales = Annotated[
    bool,
    typer.Option(
        "--two-scales", help="VNect sees everybody at two sizes and averages: slower.", rich_help_panel=NETS
    ),
]
SEMANTIC = ("fcn", "deeplab-v1", "deeplab-v2", "deeplab-v3")  # what systems' names begin with
SegmentNet = Annotated[
    Literal["lite", "full", "heavy", "fcn", "deeplab-v1", "deeplab-v2", "deeplab-v3"],
    typer.Option(
        "--segment",
        help="The mask and landmark net (BlazePose), or a semantic net of --weights for the masks of either chain.",
        rich_help_panel=NETS,
    ),
]
SIZES = ("lite", "full", "heavy")
SegmentNets = Annotated[
    list[str] | None,
    typer.Option(
        "--segment",
        help="lite, full or heavy; repeats, a row each. full if not given.",
        rich_help_panel=NETS,
    ),
]
DenseNet = Annotated[
    Literal["dense-s", "baseline", "off"],
    typer.Option(
        "--dense",
        help="Dense correspondence: a net's, that of the posed body alone, or none.",
        rich_help_panel=NETS,
    ),
]
LiftNet = Annotated[
    Literal["lift-s", "off"],
    typer.Option("--lift", help="The net that mends the landmarks' depth, or none.", rich_help_panel=NETS),
]
DetectEvery = Annotated[
    int, typer.Option(min=1, help="Detect at least every so many frames.", rich_help_panel=NETS)
]
MaxPeople = Annotated[int, typer.Option(min=1, help="Follow at most so many people.", rich_help_panel=NETS)]
MinScore = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Ignore detections that score less: 0.2 if not given, with --chain rcnn 0.5.",
        rich_help_panel=NETS,
    ),
]
Smooth = Annotated[
    Literal["mediapipe", "vnect", "off"] | None,
    typer.Option(
        help="One-euro filter of the landmarks, by its settings' source: mediapipe if not given, with --chain rcnn "
        "vnect.",
        rich_help_panel=NETS,
    ),
]
Flips = Annotated[
    bool,
    typer.Option(
        "--flip-repair/--no-flip-repair",
        help="Undo the landmark net's front-back flips.",
        rich_help_panel=NETS,
    ),
]
Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda or cuda:N; only auto may choose the CPU.", rich_help_panel=NETS)
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="CPU threads of a network; all cores if not given.", rich_help_panel=NETS),
]
Spin = Annotated[
    bool,
    typer.Option(
        "--spin/--no-spin", help="Idle network threads spin: faster on a quiet machine.", rich_help_panel=NETS
    ),
]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.", rich_help_panel=NETS)]

PoseFit = Annotated[
    Literal["fit", "off"],
    typer.Option(
        "--pose3d", help="Fit everybody's skeleton in space, in front of the camera.", rich_help_panel=SPACE
    ),
]
FocalPx = Annotated[
    float | None,
    typer.Option(
        "--focal-px",
        min=1,
        help="The camera's focal length, px. Pictures' EXIF tells it; else 60° over the long side are assumed, and "
        "distances are in proportion to that guess.",
        rich_help_panel=SPACE,
    ),
]
FieldOfView = Annotated[
    float | None,
    typer.Option(
        "--fov", min=5, max=170, help="The field of view over the long side, degrees.", rich_help_panel=SPACE
    ),
]
Calibration = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="The calibrated camera: a Qualisys .qca.txt, Pose2Sim .toml or OpenCV .yml file, or a name of "
        "`models list`; of several cameras the one whose name the source's holds.",
        rich_help_panel=SPACE,
    ),
]
CalibratedCamera = Annotated[
    str | None,
    typer.Option("--camera", help="Which camera of the calibration filmed this.", rich_help_panel=SPACE),
]
Up = Annotated[
    str | None,
    typer.Option(
        metavar="x,y,z",
        help="Against gravity: in the camera's axes (x right, y down, z away), or an axis of the calibration, such "
        "as z or -y. A level camera is assumed, or z of the calibration.",
        rich_help_panel=SPACE,
    ),
]
HeightM = Annotated[
    float | None,
    typer.Option(
        "--height-m",
        min=0.3,
        max=2.5,
        help="Everybody's height barefoot, m; estimated if not given, and distances with it.",
        rich_help_panel=SPACE,
    ),
]
Contacts = Annotated[
    bool,
    typer.Option(
        "--contacts/--no-contacts",
        help="Feet that stand do not slide; for cameras that stand still.",
        rich_help_panel=SPACE,
    ),
]

DenseRefine = Annotated[
    bool,
    typer.Option(
        "--dense-refine/--no-dense-refine",
        help="Draw poses to where dense correspondence shows the body's surface.",
        rich_help_panel=SPACE,
    ),
]

PolicyName = Annotated[
    Literal["auto", "every", "latest", "paced"],
    typer.Option(
        "--policy",
        help="When frames come faster than they are worked on: wait (every), drop the older one (latest), "
        "or play a file at its own speed and drop (paced); auto is every for files and latest for live sources.",
        rich_help_panel=TIME,
    ),
]
Queue = Annotated[
    int, typer.Option(min=1, help="Frames that may wait to be worked on.", rich_help_panel=TIME)
]
TargetFps = Annotated[
    float | None, typer.Option(min=0.001, help="Judge every step against this rate.", rich_help_panel=TIME)
]
StrictFps = Annotated[
    bool, typer.Option("--strict-fps", help="Exit with 4 where --target-fps is missed.", rich_help_panel=TIME)
]


# Flags that mean something to one chain alone, by their parameters' names.
LIGHT_ALONE = {
    "detect": "--detect",
    "lift": "--lift",
    "detect_every": "--detect-every",
    "flip_repair": "--flip-repair",
}
RCNN_ALONE = {"proposals": "--proposals", "two_scales": "--two-scales"}
OWN_WEIGHTS = {"weights": "--weights", "net_size": "--net-size"}  # the R-CNN chain's, and a semantic net's


def check_chain(chain: str, segment: str, dense: str, typed: Callable[[str], bool]) -> None:
    """Raise UsageError for a flag that was `typed` and does not belong to the chain, told by the parameter's name."""
    semantic = segment in SEMANTIC
    foreign = LIGHT_ALONE if chain == "rcnn" else RCNN_ALONE if semantic else RCNN_ALONE | OWN_WEIGHTS
    for name, flag in foreign.items():
        if typed(name):
            other = "--chain light" if chain == "rcnn" else "--chain rcnn"
            raise UsageError(f"{flag} belongs to {other}; leave it out, or choose that chain")
    if chain == "rcnn" and typed("segment") and not semantic:
        raise UsageError(
            f"--segment {segment} belongs to --chain light; with --chain rcnn masks are the R-CNN's, or those of "
            f"--segment {', '.join(SEMANTIC)}"
        )
    if chain == "rcnn" and typed("dense") and dense != "off":
        raise UsageError(
            f"--dense {dense} belongs to --chain light; with --chain rcnn add --weights densepose-r50-fpn-s1x=FILE"
        )


def foreign_flags(chain: str, segment: str, dense: str) -> set[str]:
    """Parameters whose values say nothing about a run: they belong to the other chain."""
    if chain == "light":
        return {*RCNN_ALONE} if segment in SEMANTIC else {*RCNN_ALONE, *OWN_WEIGHTS}
    return {
        *LIGHT_ALONE,
        *(() if segment in SEMANTIC else ("segment",)),
        *(() if dense == "off" else ("dense",)),
    }


def size_of(flag: str, text: str | None) -> tuple[int, int] | None:
    """Width and height of "WxH". Raises UsageError."""
    if text is None:
        return None
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise UsageError(f"{flag} {text} is not a size. Example: 1280x720.")
    return int(width), int(height)


def chosen(flag: str, words: Sequence[str] | None, known: Sequence[str], default: Sequence[str]) -> list[str]:
    """The words of a flag that repeats, each once; the default where there is none. Raises UsageError for another."""
    if unknown := [word for word in words or () if word not in known]:
        raise UsageError(f"{flag} {unknown[0]}: expected {', '.join(known[:-1])} or {known[-1]}")
    return list(dict.fromkeys(words or default))


def check_mesh(mesh: bool, outputs: list[str], *, view: bool = False) -> None:
    """Raise UsageError where bodies are asked for and nothing would show them."""
    if mesh and not view and not any(name.lower().endswith(BODIES) for name in outputs):
        raise UsageError(
            f"--mesh puts body surfaces into {' and '.join(BODIES)}; add -o walk.glb, or leave it out"
        )
