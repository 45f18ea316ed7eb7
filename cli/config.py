"""`--config FILE.toml`: a file that mirrors the long flags of a command one to one.

    target-fps = 30
    output = ["dance.mp4", "dance.jsonl"]     a flag that may be repeated takes a list
    overwrite = true                          a switch takes true or false

A command gets it by a parameter `_config: ConfigFile = None`; nothing else is to be done there: the
file's values become the defaults of the other parameters, so flags that were typed win.
"""

import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from bodystream.errors import UsageError


def _read(context: typer.Context, file: Path | None) -> None:
    if file is not None and not context.resilient_parsing:
        context.default_map = {**(context.default_map or {}), **defaults_from(file, context)}


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE.toml",
        help="Read flags from a TOML file: keys are the long flags; flags typed here win.",
        is_eager=True,  # before any other parameter asks for its default
        callback=_read,
        show_default=False,
    ),
]


def defaults_from(file: Path, context: typer.Context) -> dict[str, Any]:
    """Parameter names and values out of a TOML file, checked against the command that `context` is of.

    Raises UsageError for a file that cannot be read, a key that is no long flag, and a value that the
    flag does not take.
    """
    options = _options(context)
    defaults = {}
    for key, value in _toml(file).items():
        if key not in options:
            raise UsageError(f"{file}: unknown key {key!r}{did_you_mean(key, options)}")
        defaults[options[key].name] = _checked(file, key, value, options[key], context)
    return defaults


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, and all of them."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1)
    guess = f"; did you mean {near[0]!r}?" if near else "."
    return f"{guess} Known: {', '.join(known)}"


def _options(context: typer.Context) -> dict[str, Any]:
    """The command's options by their long flag without dashes; what is not a setting is left out."""
    return {
        flag.removeprefix("--"): param
        for param in context.command.params
        for flag in param.opts
        if param.param_type_name == "option" and flag.startswith("--") and flag != "--config"
    }


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--config {file}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise UsageError(f"--config {file}: is not TOML: {error}") from error


def _checked(file: Path, key: str, value: Any, option: Any, context: typer.Context) -> Any:
    """The value as it stands, once the option itself has accepted it."""
    wanted = "true or false" if option.is_flag else "a list" if option.multiple else "a single value"
    if wanted != _kind(value):
        raise UsageError(f"{file}: {key} = {value!r}: expected {wanted}, found {_kind(value)}")
    try:
        option.process_value(context, value)
    except typer.TyperException as error:
        raise UsageError(f"{file}: {key} = {value!r}: {error.format_message()}") from error
    return value


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "true or false"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a single value"
