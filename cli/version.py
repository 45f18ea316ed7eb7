"""`bodystream version`."""

import json
from typing import Annotated

import typer

from bodystream import __version__


def version(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Print the version.

    Examples:

    bodystream version

    bodystream version --json
    """
    typer.echo(json.dumps({"bodystream": __version__}) if as_json else f"bodystream {__version__}")
