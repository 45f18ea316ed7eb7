"""`bodystream eval pose3d-multiview`: 3D pose of each camera by itself against what all cameras say together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bodystream.cli import options as o
from bodystream.cli.config import ConfigFile
from bodystream.cli.eval_pose3d import SCORE_COLUMNS, cells
from bodystream.cli.rig import Calibration, Refine, Videos, in_step, open_rig

if TYPE_CHECKING:  # these bring numpy, and --help must answer at once
    from bodystream.evaluation.all_views import Reference, Trust
    from bodystream.evaluation.one_view import Seen, View
    from bodystream.pipeline.calibration import Camera, Doubles
    from bodystream.pipeline.types import Stage

Row = tuple[str, str]  # size of the landmark net, name in ROWS
Views = "list[list[View]]"  # by camera and person

# What each row chooses for the chain; height_m True is the height by the reference's bones.
ROWS: Mapping[str, Mapping[str, Any]] = {
    "raw": {"smooth": "off", "repair_flips": False},
    "track": {},
    "fit": {"pose3d": "fit"},
    "lift": {"lift": "lift-s"},
    "lift-fit": {"lift": "lift-s", "pose3d": "fit"},
    "lift-fit-dense": {"lift": "lift-s", "pose3d": "fit", "dense": "dense-s"},
    "fit-height": {"pose3d": "fit", "height_m": True},
    "lift-fit-height": {"lift": "lift-s", "pose3d": "fit", "height_m": True},
}
BASE = "raw"
REFERENCE = "heavy"  # the net whose landmarks are triangulated


def pose3d_multiview(
    calibration: Calibration,
    videos: Videos,
    rows: Annotated[
        list[str] | None,
        typer.Option(
            "--rows",
            help=f"{', '.join(ROWS)}; repeats. All if not given.",
            rich_help_panel=o.NETS,
        ),
    ] = None,
    people: Annotated[
        int, typer.Option(min=1, max=4, help="How many people all cameras see.", rich_help_panel=o.INPUT)
    ] = 1,
    keypoints: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|ZIP|NAME",
            help="OpenPose's JSON files too make the reference: a folder a camera, in pixels of the calibration.",
            rich_help_panel=o.INPUT,
        ),
    ] = None,
    keypoints_layout: Annotated[
        Literal["body-25b", "body-25"],
        typer.Option(help="The order of OpenPose's keypoints.", rich_help_panel=o.INPUT),
    ] = "body-25b",
    max_frames: o.MaxFrames = None,
    refine: Refine = True,
    detect: o.DetectNet = "picodet-s",
    segment: o.SegmentNets = None,
    device: o.Device = "auto",
    threads: o.Threads = None,
    offline: o.Offline = False,
    json: o.Json = False,
    _config: ConfigFile = None,
) -> None:
    """Score 3D pose of each camera of a calibrated set by itself, against a reference triangulated from all.

    The reference: BlazePose heavy's landmarks of all views (and --keypoints), whoever all cameras see, cameras
    turned until rays meet, robust triangulation, a filter of 6 Hz without lag; its own error is told. Then every row
    is a chain that runs on every camera alone, with the camera's true focal length. Who is nearest to the reference
    in the picture is scored, and how often ids change is counted. docs/evaluation.md defines every column.

    Examples:

    bodystream eval pose3d-multiview rig.toml left.mp4 middle.mp4 right.mp4 --segment full --segment heavy

    bodystream eval pose3d-multiview pose2sim-calibration pose2sim-multi-cam01 pose2sim-multi-cam02 --people 2
    """
    import orjson

    from bodystream.cli.prepare import chain_of
    from bodystream.cli.screen import progress_bars
    from bodystream.evaluation.one_view import scored
    from bodystream.evaluation.remembered import Memory, Remembered
    from bodystream.pipeline.lens import lens_of
    from bodystream.pipeline.stages import Choices, Placement

    names = o.chosen("--rows", rows, list(ROWS), list(ROWS))
    sizes = o.chosen("--segment", segment, o.SIZES, ["full"])
    cameras, paths = open_rig(calibration, videos, offline=offline)

    memories: dict[tuple[str, str], Memory] = {}
    with progress_bars() as progress:

        def run(
            size: str, changes: Mapping[str, Any]
        ) -> "tuple[list[Camera], Doubles, list[tuple[Seen, ...]]]":
            choices = replace(Choices(detect=detect, segment=size), **changes)

            def opened(camera: "Camera") -> "list[Stage]":
                stages = chain_of(choices, Placement(device, threads), lens_of(camera), offline=offline)
                looks = memories.setdefault((size, camera.name), {})
                return [Remembered(each, looks) if each.name == "segment" else each for each in stages]

            name = ", ".join([size, *(f"{key} {value}" for key, value in changes.items())])
            return _run(cameras, paths, opened, max_frames, lambda *done: progress(name, *done))

        fitted, times, moments = run(REFERENCE, {"smooth": "off"})
        others = None if keypoints is None else (_place(keypoints, offline), keypoints_layout)
        truth = _reference(cameras, fitted, times, moments, people, others, turn_cameras=refine)
        rate = 1 / _usual_step(times)
        found = {
            (size, name): scored(truth, run(size, _choices(ROWS[name], truth))[2], times, rate)
            for size in sizes
            for name in names
        }
    if json:
        typer.echo(orjson.dumps(_report(truth, found, rate), option=orjson.OPT_INDENT_2))
    else:
        _print(truth, found, rate)


def _choices(row: Mapping[str, Any], truth: "Reference") -> dict[str, Any]:
    """What a row chooses, with the height of the reference's people (the mean, of several) where it wants it."""
    from bodystream.models.body.kinematics import height_of

    height = round(float(height_of(truth.bones).mean()), 3)
    return {key: height if key == "height_m" else value for key, value in row.items()}


def _run(
    cameras: "Sequence[Camera]",
    paths: Sequence[Path],
    open_chain: "Callable[[Camera], list[Stage]]",
    max_frames: int | None,
    progress: Callable[[int, int], None],
) -> "tuple[list[Camera], Doubles, list[tuple[Seen, ...]]]":
    """The cameras, fitted to the videos; the moments' times, s; and for each moment what every camera saw."""
    import numpy as np

    from bodystream.errors import SourceUnreadable
    from bodystream.evaluation.one_view import kept

    with in_step(cameras, paths, open_chain, max_frames, progress) as (fitted, results):
        moments = [tuple(kept(result) for result in moment) for moment in results]
    if len(moments) < 2:
        raise SourceUnreadable(f"{paths[0].name} and the others have no two frames in common")
    return fitted, np.array([float(moment[0].pts) for moment in moments]), moments


def _place(keypoints: str, offline: bool) -> Path:
    from bodystream.cli.prepare import fetched

    return Path(keypoints) if Path(keypoints).is_dir() else fetched([keypoints], offline=offline)[0]


def _reference(
    calibrated: "Sequence[Camera]",
    fitted: "Sequence[Camera]",
    times: "Doubles",
    moments: "Sequence[Sequence[Seen]]",
    people: int,
    keypoints: tuple[Path, str] | None,
    *,
    turn_cameras: bool,
) -> "Reference":
    from bodystream.evaluation.all_views import in_time, reference_of, together, with_keypoints
    from bodystream.evaluation.references import read_keypoints

    views = [together(fitted, [[seen.people for seen in moment] for moment in moments], people)]
    if keypoints is not None:
        read = read_keypoints(keypoints[0], [camera.name for camera in fitted], keypoints[1])
        moved, late = in_time(with_keypoints(read, calibrated, fitted, views[0]), views[0], times)
        typer.echo(f"the keypoints were moved by {-1000 * late:+.0f} ms onto the videos", err=True)
        views.append(moved)
    return reference_of(fitted, times, views, turn_cameras=turn_cameras)


def _usual_step(times: "Doubles") -> float:
    import numpy as np

    return float(np.median(np.diff(times)))


def _print(truth: "Reference", found: "Mapping[Row, list[list[View]]]", rate: float) -> None:
    from bodystream.cli.screen import print_table

    names = [camera.name for camera in truth.cameras]
    typer.echo("the reference, made from all cameras: its own error")
    print_table(("camera", *TRUST_COLUMNS), _trust_rows(names, truth.trust))
    typer.echo("\neach camera by itself")
    who = ["person"] if len(truth.people) > 1 else []
    print_table(
        ("segment", "row", "camera", *who, *SCORE_COLUMNS, f"behind {BASE} ms ", *IDENTITY_COLUMNS),
        [line for row in found for line in _lines(row, found, names)],
    )
    if less := _less(found, rate):
        typer.echo(f"\nless {BASE}, mm, with the 95 % range of a block bootstrap")
        lines = [[*row, *map(_range, each.values())] for row, each in less.items() if row[1] != BASE]
        print_table(("segment", "row", "PA-MPJPE ", "MPJPE "), lines)


def _lines(row: Row, found: "Mapping[Row, list[list[View]]]", names: Sequence[str]) -> list[list[str]]:
    """A line for each camera and person, and their mean."""
    from bodystream.evaluation.one_view import mean_view

    views, late = found[row], _behind(row, found)
    several = len(views[0]) > 1
    table = []
    for name, people, each_late in zip(names, views, late, strict=True):
        for number, (view, ms) in enumerate(zip(people, each_late, strict=True), start=1):
            told = view.identity
            ids = [f"{told.found} of {told.frames}", str(told.changes), str(told.swaps)]
            table.append([*row, name, *([str(number)] * several), *cells(view.scores), _signed(ms), *ids])
    flat = [ms for each in late for ms in each if ms == ms]
    mean = _signed(sum(flat) / len(flat) if flat else float("nan"))
    return [*table, [*row, "mean", *([""] * several), *cells(mean_view(views)), mean, "", "", ""]]


def _behind(row: Row, found: "Mapping[Row, list[list[View]]]") -> list[list[float]]:
    """How much later a row moves than that of the nets alone, ms, by camera and person; NaN without such a row."""
    from bodystream.evaluation.one_view import behind

    base = found.get((row[0], BASE))
    return [[float("nan")] * len(each) for each in found[row]] if base is None else behind(found[row], base)


def _less(
    found: "Mapping[Row, list[list[View]]]", rate: float
) -> "dict[Row, Mapping[str, tuple[float, float, float]]]":
    """How much more each row errs than the nets alone, where these are among the rows of the same size."""
    from bodystream.evaluation.one_view import difference

    bases = {size: found[size, BASE] for size, name in found if name == BASE}
    return {row: difference(views, bases[row[0]], rate) for row, views in found.items() if row[0] in bases}


def _signed(value: float) -> str:
    return "" if value != value else f"{value:+.1f}"


def _range(of: tuple[float, float, float]) -> str:
    return f"{of[0]:+.1f} [{of[1]:+.1f}, {of[2]:+.1f}]"


TRUST_COLUMNS = (
    "turned ° ", "reprojection px ", "without it: moved mm ", "from the hips mm ", "PA mm ",
)  # fmt: skip
IDENTITY_COLUMNS = ("found ", "id changes ", "swaps ")


def _trust_rows(names: Sequence[str], trust: "Trust") -> list[list[str]]:
    columns = list(asdict(trust).values())
    means = [sum(column) / len(column) for column in columns]
    table = [*zip(names, *columns, strict=True), ("mean", *means)]
    return [
        [name, *("" if value != value else f"{value:.2f}" for value in values)] for name, *values in table
    ]


def _report(truth: "Reference", found: "Mapping[Row, list[list[View]]]", rate: float) -> dict[str, Any]:
    from bodystream.evaluation.one_view import mean_view

    names, less = [camera.name for camera in truth.cameras], _less(found, rate)
    return {
        "reference": {
            "cameras": names,
            "bones_m": [[float(length) for length in bones] for bones in truth.bones],
            **asdict(truth.trust),
        },
        "rows": [
            {
                "segment": row[0],
                "row": row[1],
                "views": [
                    {"camera": name, "person": number, **asdict(view.scores), **asdict(view.identity)}
                    | {f"behind_{BASE}_ms": ms}
                    for name, people, late in zip(names, views, _behind(row, found), strict=True)
                    for number, (view, ms) in enumerate(zip(people, late, strict=True), start=1)
                ],
                "mean": asdict(mean_view(views)),
                f"less_{BASE}": less.get(row),
            }
            for row, views in found.items()
        ],
    }
