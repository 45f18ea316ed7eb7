"""`bodystream export`: networks into ONNX files that were compared with torch."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bodystream.cli.config import ConfigFile
from bodystream.cli.export_systems import Wishes, export_systems, print_made, rows_of, systems_among
from bodystream.errors import OutputExists, UsageError

if TYPE_CHECKING:  # the export brings torch in
    from bodystream.export.check import Checked

# What `bodystream run` takes for a stage if not told otherwise.
NETWORK_OF_STAGE = {"detect": "picodet-s", "segment": "blazepose-full", "dense": "dense-s"}


SYSTEMS_PANEL = "Systems of the R-CNN family"


def export(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="A stage (detect, segment, dense), for the network that run takes by default; a network: "
            "picodet-s, blazepose-lite, blazepose-full, blazepose-heavy, lift-s, dense-s; or with --weights a system: "
            "rcnn, for whichever R-CNN the weights are of, vnect, fcn-r50, deeplab-v3-r50, resnet-50 ...",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Export every network.")] = False,
    folder: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="Where the files go: FOLDER/NETWORK.onnx."),
    ] = Path("onnx"),
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Freeze the batch; if not given, that of networks that look at people's crops is free.",
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SYSTEM=]SOURCE",
            help="Weights of a system: a file, a name of `models list`, or random:SEED. Can be repeated.",
            rich_help_panel=SYSTEMS_PANEL,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH",
            help="What pictures are scaled into, multiples of 32 px; if not given, 640x480, 320x256 for rcnn-s.",
            rich_help_panel=SYSTEMS_PANEL,
        ),
    ] = None,
    proposals: Annotated[
        int,
        typer.Option(
            min=1,
            help="Boxes that a box head looks at; a frame with the papers' 1000 takes 1.6 times as long as with 100.",
            rich_help_panel=SYSTEMS_PANEL,
        ),
    ] = 100,
    people: Annotated[
        int,
        typer.Option(
            min=1, help="Boxes that the other heads look at in one go.", rich_help_panel=SYSTEMS_PANEL
        ),
    ] = 5,
    precision: Annotated[
        str,
        typer.Option(
            help="fp32; fp16, boxes in fp32 all the same; int8 for the backbone, with --calibrate.",
            rich_help_panel=SYSTEMS_PANEL,
        ),
    ] = "fp32",
    calibrate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="A video or pictures that int8 is fitted to. Can be repeated.",
            rich_help_panel=SYSTEMS_PANEL,
        ),
    ] = None,
    opset: Annotated[
        int | None,
        typer.Option(help="ONNX operator set, 18 to 20; if not given, 18.", rich_help_panel=SYSTEMS_PANEL),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was checked as JSON.")] = False,
    _config: ConfigFile = None,
) -> None:
    """Write networks as ONNX files, each compared with torch: names, shapes, values.

    A file whose check fails is not kept. Metadata in the files tells stage, interface, source and licence.

    Examples:

    bodystream export detect segment dense -o onnx/

    bodystream export blazepose-heavy --batch 4 -o onnx/

    bodystream export rcnn --weights mask-rcnn-r50-fpn=model.pth --proposals 1000 -o onnx/
    """
    from bodystream.cli.screen import progress_bars
    from bodystream.export import prepare

    wishes = Wishes(weights or [], size, proposals, people, precision, calibrate or [], opset, batch)
    systems = systems_among(names or [])
    if systems or weights:
        if rest := [name for name in names or [] if name not in systems]:
            raise UsageError(f"{rest[0]} takes no --weights; export it by itself")
        made = export_systems(systems, wishes, folder, overwrite=overwrite, offline=offline)
        if as_json:
            typer.echo(json.dumps(rows_of(made), indent=1, ensure_ascii=False))
        else:
            print_made(made)
        return
    _refuse_wishes(wishes)
    files = {
        name: folder / f"{name}.onnx" for name in _chosen(names or [], everything, list(prepare.NETWORKS))
    }
    if there := [str(file) for file in files.values() if file.exists() and not overwrite]:
        raise OutputExists(
            f"{', '.join(there)}: exists already; add --overwrite, or give another folder with -o"
        )
    with progress_bars() as progress:
        checked = {
            name: prepare.export(name, file, batch=batch, progress=progress, offline=offline or None)
            for name, file in files.items()
        }
    if as_json:
        _print_json(files, checked)
    else:
        _print_table(files, checked)


def _refuse_wishes(wishes: Wishes) -> None:
    """Raise UsageError for what is said of systems where none is exported."""
    told = {
        "--size": wishes.size is not None,
        "--precision": wishes.precision != "fp32",
        "--calibrate": bool(wishes.calibrate),
        "--opset": wishes.opset is not None,
    }
    if flags := [flag for flag, given in told.items() if given]:
        raise UsageError(
            f"{flags[0]} is for a system with --weights: bodystream export rcnn --weights random:0"
        )


def _chosen(names: Sequence[str], everything: bool, known: Sequence[str]) -> list[str]:
    """Names of networks, each once, in the order asked for."""
    if bool(names) == everything:
        stages = ", ".join(NETWORK_OF_STAGE)
        raise UsageError(f"name what to export, or else give --all; known: {stages}, {', '.join(known)}")
    if everything:
        return list(known)
    chosen = [NETWORK_OF_STAGE.get(name, name) for name in names]
    if unknown := [name for name in chosen if name not in known]:
        stages = ", ".join(NETWORK_OF_STAGE)
        raise UsageError(f"no stage or network called {unknown[0]!r}; known: {stages}, {', '.join(known)}")
    return list(dict.fromkeys(chosen))


def _print_table(files: dict[str, Path], checked: "dict[str, Checked]") -> None:
    from bodystream.cli.screen import print_table

    print_table(
        ["network", "check", "of", "", "result"],
        [
            [name, finding.step, finding.what, "✓" if finding.ok else "✗", finding.detail]
            for name, each in checked.items()
            for finding in each.findings
        ],
    )
    for file in files.values():
        typer.echo(f"wrote {file}")


def _print_json(files: dict[str, Path], checked: "dict[str, Checked]") -> None:
    rows = [
        {
            "network": name,
            "file": str(files[name]),
            "checks": [
                {"check": finding.step, "of": finding.what, "ok": finding.ok, "result": finding.detail}
                for finding in each.findings
            ],
            "nodes": each.nodes,
            "forbidden": each.forbidden,
            "session_ms": round(each.session_ms, 3),
            "torch_ms": round(each.torch_ms, 3),
        }
        for name, each in checked.items()
    ]
    typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
