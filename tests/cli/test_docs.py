"""The pages tell the truth: docs/cli.md is current, and every command line in a page is one."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from bodystream.cli.main import command
from tests.links import ROOT
from tests.reference import PAGE, examples, leaves, page

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_page_of_commands_is_current():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.reference"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_command_lines_in_pages_parse(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in command_lines(path.read_text(encoding="utf-8")):
        parse(line)


@pytest.mark.parametrize("words", list(leaves()))
def test_examples_in_help_parse(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in examples(leaves()[words]):
        parse(line)


@pytest.mark.parametrize(
    "line", ["bodystream version --jason", "bodystream verison", "bodystream version extra"]
)
def test_the_parser_of_this_test_refuses_wrong_lines(line):
    with pytest.raises((typer.TyperException, ValueError)):
        parse(line)


def test_command_lines_are_found():
    text = (
        "`bodystream inline`\n```sh\n$ bodystream run 0 | jq .\n"
        ".venv/bin/bodystream version  # why\nls\nbodystream doctor     what works here\n```\nbodystream prose"
    )
    assert list(command_lines(text)) == ["bodystream run 0", "bodystream version", "bodystream doctor"]


def command_lines(markdown):
    """The `bodystream …` lines of the fenced blocks, up to a pipe, a redirection, a comment or a column of prose."""
    for block in re.findall(r"^```[a-z]*\n(.*?)^```", markdown, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            if found := re.match(r"(?:\$ )?(?:[\w./-]*/)?(bodystream [^|>#&]*)", line.strip()):
                yield found[1].partition("   ")[0].strip()


def parse(line):
    """Let typer take the line apart, without running anything."""
    words = shlex.split(line)[1:]
    if "--config" in words:
        Path(words[words.index("--config") + 1]).touch()
    context, rest = command().make_context("bodystream", list(words)), words
    while hasattr(context.command, "list_commands") and rest:
        name, found, rest = context.command.resolve_command(context, rest)
        context = found.make_context(name, list(rest), parent=context)
