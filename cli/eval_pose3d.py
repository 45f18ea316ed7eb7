"""`bodystream eval pose3d`: people of a results file against motion capture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bodystream.cli import options as o
from bodystream.cli.config import ConfigFile

if TYPE_CHECKING:  # these bring numpy, and --help must answer at once
    from bodystream.evaluation.pose3d import Scores

SCORE_COLUMNS = (
    "frames ", "PA-MPJPE mm ", "MPJPE mm ", "PCK@150 ", "AUC ", "acc mm/frame² ", "acc m/s² ", "lag ms ", "bones % ",
    "slide mm/s ", "root cm ",
)  # fmt: skip


def pose3d(
    reference: Annotated[
        Path,
        typer.Argument(metavar="REFERENCE", help="Motion capture: a .trc, .c3d or .npz.", show_default=False),
    ],
    results: Annotated[
        Path,
        typer.Argument(metavar="RESULTS.jsonl", help="Results that run wrote.", show_default=False),
    ],
    offset_s: Annotated[
        float, typer.Option(help="The results' time at the reference's time 0, s.", rich_help_panel=o.INPUT)
    ] = 0.0,
    person: Annotated[
        int | None,
        typer.Option(
            "--id", help="Whom to score; who is seen in most frames if not given.", rich_help_panel=o.INPUT
        ),
    ] = None,
    align: Annotated[
        Literal["clip", "off"],
        typer.Option(
            help="Axes of the reference: any, so the clip as a whole is turned and shifted onto it; or the camera's.",
            rich_help_panel=o.INPUT,
        ),
    ] = "clip",
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.001, help="Frames a second that mm/frame² counts in; the results' own if not given."
        ),
    ] = None,
    json: o.Json = False,
    _config: ConfigFile = None,
) -> None:
    """Score 3D pose against motion capture: MPJPE, PA-MPJPE, PCK, AUC, acceleration, lag, bones, feet, root.

    Scored are the joints of the fitted skeleton where the results hold one, else world landmarks, which have no
    place in the room, so that root and feet are not told. docs/evaluation.md defines every column.

    Examples:

    bodystream eval pose3d walk.trc walk.jsonl --offset-s 0.02

    bodystream eval pose3d walk.c3d walk.jsonl --id 2 --json
    """
    from dataclasses import asdict

    import orjson

    from bodystream.cli.screen import print_table
    from bodystream.evaluation.pose3d import aligned, score
    from bodystream.evaluation.references import motion_of, read_reference
    from bodystream.pipeline.record import read

    truth = read_reference(reference, offset_s)
    whom, motion = motion_of(read(results), person)
    if align == "clip":
        motion = aligned(motion, truth)
        typer.echo("turned and shifted as a whole onto the reference", err=True)
    found = score(motion, truth, rate)
    if json:
        typer.echo(orjson.dumps({"id": whom} | asdict(found), option=orjson.OPT_INDENT_2))
        return
    print_table(("id", *SCORE_COLUMNS), [[str(whom), *cells(found)]])


def cells(scores: "Scores") -> list[str]:
    """The figures under SCORE_COLUMNS; nothing for what is not known."""
    figures = (
        (scores.pa_mm, ".1f"),
        (scores.mpjpe_mm, ".1f"),
        (scores.pck, ".3f"),
        (scores.auc, ".3f"),
        (scores.acceleration_mm, ".1f"),
        (scores.acceleration_m_s2, ".1f"),
        (scores.lag_ms, "+.1f"),
        (100 * scores.bone_spread, ".2f"),
        (scores.slide_mm_s, ".0f"),
        (scores.root_cm, ".1f"),
    )
    return [str(scores.frames), *("" if value != value else f"{value:{form}}" for value, form in figures)]
