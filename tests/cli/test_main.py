"""The frame of the command line: help, errors in one line, exit codes, what gets imported."""

import os
import pty
import resource
import subprocess
import sys
import types

import pytest
import typer

from bodystream import errors
from bodystream.cli import main
from bodystream.cli.exits import ExitCode
from tests.reference import examples, leaves, prose

HEAVY = ("torch", "onnxruntime", "onnx", "cv2", "numpy", "av")


@pytest.fixture
def plant(monkeypatch):
    """Makes a function a command of the line, called `boom`."""

    def planted(function):
        module = types.ModuleType("bodystream.cli.boom")
        module.boom = function
        monkeypatch.setitem(sys.modules, "bodystream.cli.boom", module)
        monkeypatch.setitem(main.COMMANDS, "boom", "boom")

    return planted


def python(*args, **kwargs):
    return subprocess.run(
        [sys.executable, *args], capture_output=True, text=True, timeout=60, check=False, **kwargs
    )


def test_exit_codes_are_those_of_the_design():
    assert [code.value for code in ExitCode] == [0, 1, 2, 3, 4, 5, 130]


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_prints_the_exit_codes(flag, capsys):
    assert main.run([flag]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for code in ExitCode:
        assert f"{code.value} {code.meaning}" in out


def test_nothing_typed_shows_the_help_and_is_a_usage_error(capsys):
    assert main.run([]) == 2
    assert "Usage: bodystream" in capsys.readouterr().out


def test_main_exits_with_the_code(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bodystream", "no-such-command"])
    with pytest.raises(SystemExit) as exit:
        main.main()
    assert exit.value.code == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BodystreamError, 1),
        (errors.UsageError, 2),
        (errors.UnknownSuffix, 2),
        (errors.SourceNotFound, 1),
        (errors.OutputExists, 1),
        (errors.WeightsMissing, 1),
        (errors.DeviceUnavailable, 5),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(plant, capsys, error, code):
    def boom():
        raise error("camera 9: not there. Try [another] one")

    plant(boom)
    assert main.run(["boom"]) == code
    assert capsys.readouterr().err == "error: camera 9: not there. Try [another] one\n"


def test_a_long_error_is_not_wrapped_and_line_ends_are_taken_out(plant, capsys):
    def boom():
        raise errors.ModelError("first\nsecond " + "x" * 300)

    plant(boom)
    main.run(["boom"])
    assert capsys.readouterr().err == "error: first second " + "x" * 300 + "\n"


def test_an_unexpected_exception_says_how_to_report_it(plant, capsys):
    def boom():
        raise KeyError("left_knee")

    plant(boom)
    assert main.run(["boom"]) == 1
    assert capsys.readouterr().err == (
        "internal error: KeyError: 'left_knee'; run again with --debug and report it\n"
    )


@pytest.mark.parametrize("args", [["--debug", "boom"], ["boom", "--debug"]])
def test_debug_shows_the_traceback_and_keeps_the_exit_code(plant, capsys, args):
    def boom():
        raise errors.DeviceUnavailable("no CUDA here")

    plant(boom)
    assert main.run(args) == 5
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("error: no CUDA here\n")


@pytest.mark.parametrize("code", list(ExitCode))
def test_a_command_returns_or_exits_with_its_code(plant, code):
    def returns() -> int:
        return code

    def exits() -> None:
        raise typer.Exit(code)

    for function in (returns, exits):
        plant(function)
        function.__name__ = "boom"
        assert main.run(["boom"]) == code


def test_ctrl_c_is_130(plant):
    def boom():
        raise KeyboardInterrupt

    plant(boom)
    assert main.run(["boom"]) == 130


def test_ctrl_c_while_a_command_is_loading_is_130(monkeypatch, capsys):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(main.importlib, "import_module", interrupted)
    assert main.run(["version"]) == 130


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["verison"], ["no command 'verison'", "did you mean 'version'"]),
        (["zzz"], ["no command 'zzz'. Known: "]),
        (["version", "--jason"], ["--jason", "See 'bodystream version -h'"]),
        (["--nonsense"], ["--nonsense", "See 'bodystream -h'"]),
        (["version", "extra"], ["extra"]),
    ],
)
def test_a_usage_mistake_is_one_line_that_says_where_to_look(capsys, args, words):
    assert main.run(args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line


def test_a_reader_that_leaves_is_no_error_to_talk_about():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "bodystream", "version"],
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_writer_that_reports_the_closed_pipe_is_quiet_too(plant, capfd):
    def boom():
        raise errors.OutputFailed("standard output: Broken pipe") from BrokenPipeError()

    plant(boom)
    saved = os.dup(1)  # what follows turns file descriptor 1 away for good
    try:
        assert main.run(["boom"]) == 1
    finally:
        os.dup2(saved, 1)
        os.close(saved)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("environment", "red"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_errors_are_red_on_a_terminal_unless_no_color(environment, red):
    screen, terminal = pty.openpty()
    plain = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    subprocess.run(
        [sys.executable, "-m", "bodystream", "nope"],
        stderr=terminal,
        env=plain | {"TERM": "xterm"} | environment,
        timeout=60,
        check=False,
    )
    os.close(terminal)
    assert (b"\x1b[1;31m" in os.read(screen, 10_000)) == red
    os.close(screen)


@pytest.mark.parametrize("words", [[], *(words.split()[1:] for words in leaves())], ids=" ".join)
def test_help_imports_nothing_heavy(words):
    done = python(
        "-c",
        "import sys; from bodystream.cli.main import run; code = run(sys.argv[1:]);"
        f"print(code, sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr)",
        *words,
        "--help",
    )
    assert done.stderr == "0 []\n"


def test_a_command_does_not_import_the_others():
    done = python(
        "-c",
        "import sys; from bodystream.cli.main import COMMANDS, run; run(['version']);"
        "print([name for name in COMMANDS if f'bodystream.cli.{name}' in sys.modules], file=sys.stderr)",
    )
    assert done.stderr == "['version']\n"


def test_help_answers_in_250_ms():
    # Processor time of a process of its own, which --help spends all of its time on: the time on the wall
    # is three times as much where other programs want the cores too. The best of forty, and no more than are
    # needed: a shared machine is slow for seconds at a time.
    def once():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        python("-m", "bodystream", "--help").check_returncode()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert any(once() < 0.250 for _ in range(40))


@pytest.mark.parametrize("words", list(leaves()))
def test_every_command_has_a_summary_and_two_examples(words):
    leaf = leaves()[words]
    summary = prose(leaf)[0]
    assert summary[0].isupper() and summary.endswith(".")
    found = examples(leaf)
    assert len(found) >= 2
    for line in found:
        assert line.startswith(words)


@pytest.mark.parametrize("words", [words.split()[1:] for words in leaves()], ids=" ".join)
def test_every_help_shows_its_examples(words, capsys):
    assert main.run([*words, "-h"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "Examples:" in lines
    after = lines[lines.index("Examples:") :]
    assert sum(line.startswith("bodystream ") for line in after) >= 2


def test_the_shell_completes_commands():
    done = python(
        "-m",
        "bodystream",
        env=os.environ
        | {"_BODYSTREAM_COMPLETE": "complete_bash", "COMP_WORDS": "bodystream ver", "COMP_CWORD": "1"},
    )
    assert done.stdout.split() == ["version"]
