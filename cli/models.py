"""`bodystream models`: the weights and clips that bodystream knows, and the cache that keeps them."""

import json
from typing import Annotated

import typer

from bodystream.cli.exits import ExitCode
from bodystream.cli.options import Offline
from bodystream.errors import UsageError, WeightsCorrupt

app = typer.Typer(no_args_is_help=True, help="List, pull and verify weights and clips.")

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
    from bodystream.models.zoo import ZOO

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
                str(entry.origin),
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
