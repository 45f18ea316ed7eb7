"""The page about the commands, docs/cli.md, out of the commands themselves.

python -m tests.reference        writes the page
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bodystream.cli.exits import EXIT_CODES_HELP
from bodystream.cli.main import command

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"


def page() -> str:
    """The whole page, as Markdown."""
    head = (
        "# Commands\n\nWritten by `python -m tests.reference` out of what `--help` shows.\n\n"
        + EXIT_CODES_HELP
    )
    return "\n\n".join([head + ".", *(section(words, leaf) for words, leaf in leaves().items())]) + "\n"


def leaves() -> dict[str, Any]:
    """Every command that does something, by its words: "bodystream models list"."""
    return dict(_leaves("bodystream", command()))


def section(words: str, leaf: Any) -> str:
    """The part of the page that is about one command."""
    arguments = [param for param in leaf.params if param.param_type_name == "argument"]
    usage = " ".join([words, *map(_usage, arguments)])
    rows = [_row(param, leaf) for param in leaf.params]
    table = "\n".join(["| | | default |", "|---|---|---|", *rows])
    about = [text for text in prose(leaf) if not text.startswith("Examples:")]
    return "\n\n".join([f"## {usage}", *about, "```\n" + "\n".join(examples(leaf)) + "\n```", table])


def prose(leaf: Any) -> list[str]:
    """The paragraphs of a command's help, each on one line."""
    text = inspect.cleandoc(leaf.help or "").replace("\b", "")
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    return [paragraph for paragraph in paragraphs if paragraph and not paragraph.startswith("bodystream ")]


def examples(leaf: Any) -> list[str]:
    """The command lines under "Examples:" in a command's help."""
    _, _, rest = (leaf.help or "").partition("Examples:")
    return [line.strip() for line in rest.splitlines() if line.strip().startswith("bodystream")]


def _leaves(words: str, group: Any) -> Iterator[tuple[str, Any]]:
    with group.make_context(words, [], resilient_parsing=True) as context:
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            if hasattr(found, "list_commands"):
                yield from _leaves(f"{words} {name}", found)
            else:
                yield f"{words} {name}", found


def _usage(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    shown = name if argument.nargs == 1 else f"{name}…"
    return shown if argument.required else f"[{shown}]"


def _row(param: Any, leaf: Any) -> str:
    with leaf.make_context("", [], resilient_parsing=True) as context:
        choices = [item.value for item in param.shell_complete(context, "") if item.type == "plain"]
    names = ", ".join(f"`{name}`" for name in [*reversed(param.opts), *param.secondary_opts])
    if param.param_type_name == "argument":
        names = f"`{param.metavar or param.name.upper()}`"
    default = "" if param.default in (None, False) or not param.show_default else f"`{_shown(param)}`"
    cells = [
        names,
        " ".join([param.help or "", *([f"One of {', '.join(choices)}."] if choices else [])]),
        default,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _shown(param: Any) -> str:
    return param.opts[0] if param.default is True else str(param.default)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
