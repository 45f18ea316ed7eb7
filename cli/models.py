"""`bodystream models`: the weights and clips that bodystream knows, and the cache that keeps them."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from bodystream.cli.exits import ExitCode
from bodystream.cli.options import Offline
from bodystream.errors import UsageError, WeightsCorrupt

app = typer.Typer(no_args_is_help=True, help="List, pull, verify and inspect weights and clips.")

NAMES_HELP = "Names as in `bodystream models list`."


@app.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the weights and clips by their use, and which of them are cached.

    What other projects publish (rcnn, densepose, semantic, classifier) is bound by terms of theirs, which are
    told before it is pulled.

    Examples:

    bodystream models list

    bodystream models list --json
    """
    from bodystream.cli.screen import print_table
    from bodystream.models import store
    from bodystream.models.zoo import ZOO, Address

    cached = {entry.name: store.cached(entry.name) for entry in ZOO}
    if as_json:
        rows = [
            {
                "name": entry.name,
                "stage": entry.stage,
                "system": entry.system or None,
                "bytes": entry.bytes,
                "megabytes": entry.bytes / 1e6 if entry.bytes else entry.megabytes,
                "licence": entry.licence,
                "commercial": entry.commercial,
                "notice": entry.notice or None,
                "cached": str(path) if (path := cached[entry.name]) else None,
                "origin": str(entry.origin),
                "sha256": entry.sha256,
            }
            for entry in ZOO
        ]
        typer.echo(json.dumps(rows, indent=1))
        return
    print_table(
        ["use", "name", "MB ", "licence", "cached", "from"],
        [
            [
                entry.stage,
                entry.name,
                _megabytes(entry.bytes / 1e6 if entry.bytes else entry.megabytes),
                entry.licence,
                "yes" if cached[entry.name] else "no",
                urlsplit(entry.origin.url).netloc if isinstance(entry.origin, Address) else str(entry.origin),
            ]
            for entry in ZOO
        ],
    )


def _megabytes(size: float | None) -> str:
    return "?" if size is None else f"{size:.1f}"


@app.command()
def pull(
    names: Annotated[list[str] | None, typer.Argument(help=NAMES_HELP, metavar="NAME")] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Pull all but what other projects publish, which is named one by one."),
    ] = False,
    offline: Offline = False,
) -> None:
    """Bring weights and clips into the cache; under what terms, where they are not bodystream's, is told before.

    Examples:

    bodystream models pull picodet-s blazepose-full

    bodystream models pull densepose-r50-fpn-s1x

    bodystream models pull --all
    """
    from bodystream.cli.screen import progress_bars, say
    from bodystream.models import store
    from bodystream.models.zoo import ZOO, find

    if bool(names) == everything:
        known = ", ".join(entry.name for entry in ZOO)
        raise UsageError(f"name what to pull, or else give --all; known: {known}")
    ours = [entry.name for entry in ZOO if not entry.notice]
    wanted = [find(name).name for name in names or ours]
    with progress_bars() as progress:
        for name in wanted:
            store.fetch(name, offline=offline or None, progress=progress, tell=say)
    typer.echo(f"in {store.cache_dir()}: {', '.join(wanted)}", err=True)


@app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(help=f"{NAMES_HELP} All that is cached if not given.", metavar="NAME"),
    ] = None,
) -> ExitCode:
    """Compare the sha256 of cached files with the list's.

    Examples:

    bodystream models verify

    bodystream models verify blazepose-full
    """
    from bodystream.cli.screen import say
    from bodystream.models import store
    from bodystream.models.zoo import ZOO

    code = ExitCode.OK
    for name in names or [entry.name for entry in ZOO if store.cached(entry.name)]:
        try:
            store.verify(name, tell=say)
            typer.echo(f"ok     {name}")
        except WeightsCorrupt as error:
            typer.echo(f"wrong  {name}: {error}")
            code = ExitCode.ERROR
    return code


@app.command()
def path(
    name: Annotated[str, typer.Argument(help="A name as in `bodystream models list`.", metavar="NAME")],
    offline: Offline = False,
) -> None:
    """Print where a file lies, and bring it first where it is not cached.

    Examples:

    bodystream models path sports2d-demo

    bodystream models path blazepose-full --offline
    """
    from bodystream.cli.screen import progress_bars, say
    from bodystream.models import store

    with progress_bars() as progress:
        found = store.fetch(name, offline=offline or None, progress=progress, tell=say)
    typer.echo(str(found))


@app.command()
def inspect(
    file: Annotated[
        str, typer.Argument(help="A checkpoint, or a name as in `bodystream models list`.", metavar="FILE")
    ],
    as_system: Annotated[
        str | None,
        typer.Option("--as", metavar="SYSTEM", help="Compare with this one, not with the nearest."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    offline: Offline = False,
) -> ExitCode:
    """Tell what a file of weights holds, and how it fits a system of the R-CNN family; it runs nothing.

    Read are .pth, .pkl, .safetensors and .caffemodel. The exit code is 1 where the names or shapes do not fit.

    Examples:

    bodystream models inspect model_final_162be9.pkl

    bodystream models inspect mine.pth --as mask-rcnn-r50-fpn --json
    """
    from bodystream.cli.prepare import fetched
    from bodystream.export.inspect import inspected

    (path,) = fetched([file], offline=offline)
    found = inspected(path, as_system)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        for line in _told(found):
            typer.echo(line)
    return ExitCode.OK if found["fits"] else ExitCode.ERROR


def _told(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"format: {found['format']}, {found['layout']}'s names"
    yield f"tensors: {len(found['tensors'])}, of {found['numbers'] / 1e6:.1f} million numbers"
    yield from (f"  {key}: {value}" for key, value in found["metadata"].items())
    yield from (f"  beside them: {each}" for each in found["others"])
    if found["system"] is None:
        yield "system: none that is known; the first names:"
        yield from (f"  {name} {tuple(shape)}" for name, shape in list(found["tensors"].items())[:10])
        return
    yield f"system: {found['system']}, which it {'fits' if found['fits'] else 'does not fit'}"
    yield f"matched: {len(found['matched'])}"
    for what in ("ignored", "missing", "unexpected", "of another shape"):
        yield f"{what}: {len(found[what])}"
        yield from (f"  {each}" for each in found[what])
