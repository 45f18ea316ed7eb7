"""`bodystream eval dense-multiview`: dense correspondence against the geometry of calibrated cameras."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bodystream.cli import options as o
from bodystream.cli.config import ConfigFile
from bodystream.cli.eval_dense import CHOICES, DenseNets, figure
from bodystream.cli.rig import Calibration, Refine, Videos, in_step, open_rig

if TYPE_CHECKING:  # these bring numpy, and --help must answer at once
    from bodystream.evaluation.multiview import Collected, PairScore
    from bodystream.pipeline.calibration import Camera
    from bodystream.pipeline.stages import Choices, Placement
    from bodystream.pipeline.types import Stage

Row = tuple[str, str]  # dense, landmarks

# As the landmark net gives them; with flips undone and filtered; and with their depths mended.
RAW, STEADY, LIFTED = "raw", "steady", "lifted"
LANDMARKS: dict[str, dict[str, Any]] = {
    RAW: {"smooth": "off", "repair_flips": False},
    STEADY: {},
    LIFTED: {"lift": "lift-s"},
}
PAIR_COLUMNS = (
    "cameras", "dense", "landmarks", "frames ", "matched ", "gap mm ", "equal share ", "gap mm there ",
    "third view px ",
)  # fmt: skip


def dense_multiview(
    calibration: Calibration,
    videos: Videos,
    dense: DenseNets = None,
    stride: Annotated[
        int, typer.Option(min=1, help="Match pixels in every so-many-th frame.", rich_help_panel=o.INPUT)
    ] = 5,
    max_frames: o.MaxFrames = None,
    refine: Refine = True,
    detect: o.DetectNet = "picodet-s",
    segment: o.SegmentNet = "full",
    device: o.Device = "auto",
    threads: o.Threads = None,
    offline: o.Offline = False,
    json: o.Json = False,
    _config: ConfigFile = None,
) -> None:
    """Score dense correspondence by geometry: what two cameras take for one surface point must lie on meeting rays.

    Pixels of one camera are matched to those of its neighbours whose surface points are nearest, within 1.5 cm.
    Printed are the share matched, the median gap between the rays, the same at a share that is equal for all rows,
    how far a third camera sees the point from where the rays meet, and the share of pixels whose part changes
    from frame to frame. Rows: every --dense, with landmarks as the net gives them (raw), flip-repaired and filtered
    (steady), and with their depths mended by lift-s as well (lifted).
    Where several people are seen, the one whose landmarks meet best is followed. Frames of another size than the
    calibration's count as scaled to fit, with bars on both sides.

    Examples:

    bodystream eval dense-multiview rig.toml left.mp4 middle.mp4 right.mp4

    bodystream eval dense-multiview pose2sim-calibration pose2sim-single-cam01 pose2sim-single-cam02 --dense baseline
    """
    import orjson

    from bodystream.cli.screen import progress_bars
    from bodystream.evaluation.multiview import collect, score
    from bodystream.pipeline.stages import Choices, Placement

    names = o.chosen("--dense", dense, CHOICES, CHOICES)
    cameras, paths = open_rig(calibration, videos, offline=offline)
    rows: dict[Row, Collected] = {}
    with progress_bars() as progress:
        for row in product(names, LANDMARKS):
            choices = Choices(detect=detect, segment=segment, dense=row[0], **LANDMARKS[row[1]])
            opened = partial(_chain, choices, Placement(device, threads), offline)
            told = partial(progress, ", ".join(row))
            with in_step(cameras, paths, opened, max_frames, told) as (cameras, moments):
                rows[row] = collect(cameras, moments, stride)
    turned = _refined(cameras, rows[names[0], STEADY]) if refine else cameras
    scores = score(rows, turned)
    if json:
        report = _report(rows, scores, turned)
        typer.echo(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    else:
        _print(rows, scores, turned)


def _chain(choices: "Choices", placement: "Placement", offline: bool, camera: "Camera") -> "list[Stage]":
    from bodystream.cli.prepare import chain_of
    from bodystream.pipeline.lens import lens_of

    return chain_of(choices, placement, lens_of(camera), offline=offline)


def _refined(cameras: "Sequence[Camera]", row: "Collected") -> "Sequence[Camera]":
    from bodystream.evaluation.refine import refined, turned_by
    from bodystream.pipeline.flips import LIMBS

    found = refined(cameras, row.landmarks[:, :, LIMBS])
    turns = ", ".join(
        f"{before.name} {turned_by(before, after):.2f}°" for before, after in zip(cameras, found, strict=True)
    )
    typer.echo(f"cameras turned to where landmarks meet: {turns}", err=True)
    return found


def _flicker(row: "Collected", cameras: "Sequence[Camera]") -> dict[str, float]:
    """Share of pixels whose part changes from frame to frame, by camera, and of all."""
    shares = {
        camera.name: int(changed) / int(compared) if compared else float("nan")
        for camera, changed, compared in zip(cameras, row.changed, row.compared, strict=True)
    }
    return shares | {"all": int(row.changed.sum()) / max(int(row.compared.sum()), 1)}


def _report(
    rows: "dict[Row, Collected]", scores: "dict[Row, list[PairScore]]", cameras: "Sequence[Camera]"
) -> list[dict[str, Any]]:
    return [
        {
            "dense": row[0],
            "landmarks": row[1],
            "frames": seen.frames,
            "pairs": [asdict(pair) for pair in scores[row]],
            "flicker": _flicker(seen, cameras),
        }
        for row, seen in rows.items()
    ]


def _print(
    rows: "dict[Row, Collected]", scores: "dict[Row, list[PairScore]]", cameras: "Sequence[Camera]"
) -> None:
    from bodystream.cli.screen import print_table

    pairs = sorted(
        ((i, row, pair) for row, found in scores.items() for i, pair in enumerate(found)),
        key=lambda at: at[0],
    )
    print_table(
        PAIR_COLUMNS,
        [
            [" ".join(pair.cameras), *row, *map(figure, list(asdict(pair).values())[1:])]
            for _, row, pair in pairs
        ],
    )
    typer.echo("\nshare of pixels whose part changes from frame to frame")
    flicker = {row: _flicker(seen, cameras) for row, seen in rows.items()}
    names = [*(f"{camera.name} " for camera in cameras), "all "]
    print_table(
        ["dense", "landmarks", *names],
        [[*row, *map(figure, shares.values())] for row, shares in flicker.items()],
    )
