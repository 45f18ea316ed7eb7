"""`bodystream eval dense`: dense correspondence against annotated points."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bodystream.cli import options as o
from bodystream.cli.config import ConfigFile

BASELINE = "baseline"
CHOICES = (BASELINE, "dense-s")
DenseNets = Annotated[
    list[str] | None,
    typer.Option(
        "--dense",
        help="baseline or dense-s; repeats, a row each. Both if not given.",
        rich_help_panel=o.NETS,
    ),
]
POINTS_COLUMNS = (
    "dense", "pictures ", "persons ", "found ", "points ", "answered ", "part accuracy ", "error cm, mean ",
    "median ", "GPS ", "GPSm ",
)  # fmt: skip


def dense(
    points: Annotated[
        Path,
        typer.Argument(
            metavar="POINTS", help="Points on the body surface: a JSON file (see below).", show_default=False
        ),
    ],
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="The folder of its pictures.", show_default=False)
    ],
    dense: DenseNets = None,
    detect: o.DetectNet = "picodet-s",
    segment: o.SegmentNet = "full",
    device: o.Device = "auto",
    threads: o.Threads = None,
    offline: o.Offline = False,
    json: o.Json = False,
    _config: ConfigFile = None,
) -> None:
    """Score dense correspondence against annotated points: part accuracy, error along the surface, GPS, GPSm.

    POINTS states the surface that its U, V are on; docs/evaluation.md has the form. A DensePose-COCO file that you
    own is read too, for the part accuracy alone: its U, V live on other charts.

    Examples:

    bodystream eval dense points.json images/

    bodystream eval dense densepose_coco_2014_minival.json val2014/ --dense baseline --json
    """
    import orjson

    from bodystream.cli.prepare import chain_of
    from bodystream.cli.screen import print_table, progress_bars
    from bodystream.evaluation.coco import through
    from bodystream.evaluation.dense import evaluate, read_points
    from bodystream.pipeline.stages import Choices, Placement

    people = read_points(points)
    names = o.chosen("--dense", dense, CHOICES, CHOICES)
    rows = {}
    with progress_bars() as progress:
        for name in names:
            choices = Choices(detect=detect, segment=segment, dense=name, smooth="off")
            stages = chain_of(choices, Placement(device, threads), offline=offline)
            rows[name] = evaluate(people, images, partial(through, stages), partial(progress, name))
    if json:
        typer.echo(
            orjson.dumps({name: asdict(row) for name, row in rows.items()}, option=orjson.OPT_INDENT_2)
        )
        return
    print_table(
        POINTS_COLUMNS,
        [[name, *map(figure, asdict(row).values())] for name, row in rows.items()],
    )


def figure(value: float | int) -> str:
    """A count as it is, a share or a length with three digits, nothing for what is not known."""
    if isinstance(value, int):
        return str(value)
    return "" if value != value else f"{value:.3f}" if value < 1 else f"{value:.1f}"
