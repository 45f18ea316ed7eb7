"""`--config`: a TOML file that mirrors the flags."""

import json
import sys
import types
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer

from bodystream.cli import main
from bodystream.cli.config import ConfigFile


def flags(
    source: str,
    output: Annotated[list[str] | None, typer.Option("--output", "-o")] = None,
    target_fps: Annotated[float | None, typer.Option(min=1)] = None,
    stride: int = 1,
    segment: Literal["lite", "full"] = "full",
    spin: Annotated[bool, typer.Option("--spin/--no-spin")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite")] = False,
    folder: Path = Path("here"),
    _config: ConfigFile = None,
) -> None:
    """Print what came in."""
    typer.echo(json.dumps({**{k: v for k, v in locals().items() if k != "_config"}, "folder": str(folder)}))


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Runs the command above with a config file of this text; gives exit code, stdout's JSON, stderr."""
    module = types.ModuleType("bodystream.cli.flags")
    module.flags = flags
    monkeypatch.setitem(sys.modules, "bodystream.cli.flags", module)
    monkeypatch.setitem(main.COMMANDS, "flags", "flags")

    def run(text, *args):
        (tmp_path / "c.toml").write_text(text)
        code = main.run(["flags", "dance.mp4", "--config", str(tmp_path / "c.toml"), *args])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return run


DEFAULTS = {
    "source": "dance.mp4",
    "output": None,
    "target_fps": None,
    "stride": 1,
    "segment": "full",
    "spin": True,
    "overwrite": False,
    "folder": "here",
}


def test_an_empty_file_changes_nothing(run):
    assert run("") == (0, DEFAULTS, "")


def test_keys_mirror_the_long_flags(run):
    text = (
        'output = ["a.mp4", "b.jsonl"]\ntarget-fps = 30\nstride = 2\nsegment = "lite"\n'
        'spin = false\noverwrite = true\nfolder = "there"'
    )
    assert run(text)[1] == DEFAULTS | {
        "output": ["a.mp4", "b.jsonl"],
        "target_fps": 30.0,
        "stride": 2,
        "segment": "lite",
        "spin": False,
        "overwrite": True,
        "folder": "there",
    }


def test_flags_that_were_typed_win(run):
    text = 'output = ["a.mp4"]\ntarget-fps = 30\nspin = false'
    _, got, _ = run(text, "-o", "c.csv", "--target-fps", "25", "--spin")
    assert got == DEFAULTS | {"output": ["c.csv"], "target_fps": 25.0}


def test_flags_win_where_config_stands_last(monkeypatch, run, capsys, tmp_path):
    (tmp_path / "c.toml").write_text("stride = 4")
    main.run(["flags", "dance.mp4", "--stride", "3", "--config", str(tmp_path / "c.toml")])
    assert json.loads(capsys.readouterr().out)["stride"] == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "target-fsp = 30",
            ["unknown key 'target-fsp'", "did you mean 'target-fps'", "Known:", "segment", "stride"],
        ),
        ("target_fps = 30", ["unknown key 'target_fps'", "did you mean 'target-fps'"]),
        ('source = "x.mp4"', ["unknown key 'source'"]),  # an argument, not a flag
        ('config = "x.toml"', ["unknown key 'config'"]),
        ("help = true", ["unknown key 'help'"]),
        ("stride = 'two'", ["stride = 'two'"]),
        ("stride = true", ["expected a single value", "found true or false"]),
        ("stride = [1]", ["expected a single value", "found a list"]),
        ("target-fps = 0.5", ["target-fps = 0.5"]),
        ('segment = "huge"', ["segment = 'huge'"]),
        ("overwrite = 1", ["expected true or false"]),
        ('output = "a.mp4"', ["expected a list"]),
        ("[stride]\nx = 1", ["found a table"]),
        ("stride = = 2", ["is not TOML"]),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(run, text, words):
    code, out, err = run(text)
    assert (code, out) == (2, None)
    (line,) = err.splitlines()
    assert "c.toml" in line
    for word in words:
        assert word in line


def test_a_missing_file_is_told(run, capsys):
    assert main.run(["flags", "dance.mp4", "--config", "nowhere/c.toml"]) == 2
    assert (
        capsys.readouterr().err
        == "error: --config nowhere/c.toml: cannot be read: No such file or directory\n"
    )
