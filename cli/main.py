"""The `bodystream` command: finds the sub-command; turns what it raises into one line and an exit code."""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from bodystream.cli.config import did_you_mean
from bodystream.cli.exits import EXIT_CODES_HELP, ExitCode, exit_code_of
from bodystream.errors import BodystreamError, OutputFailed, UsageError

# Every command, in the order of the help: NAME, and what of cli/NAME.py it is: a function, or a typer.Typer
# where it has sub-commands. A module is imported when its command is asked for, and must be cheap to
# import: numpy, cv2, av, onnxruntime and torch come in inside its functions.
COMMANDS = {
    "run": "run",
    "convert": "convert",
    "export": "export",
    "models": "app",
    "doctor": "doctor",
    "eval": "app",
    "train": "app",
    "version": "version",
}


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line `argv` (without the program's name; that of the process if None), and exit."""
    # Before numpy is imported: its threads for small products wait on each other where every core is at work.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; a failure is told on stderr in one line."""
    # Taken out wherever it stands: one adds it at the end of the line that has just failed.
    debug, args = "--debug" in argv, [arg for arg in argv if arg != "--debug"]
    try:
        # Without standalone_mode, what the command returned or gave to typer.Exit comes back.
        code = command().main(args or ["--help"], prog_name="bodystream", standalone_mode=False)
        sys.stdout.flush()  # while a reader that went away can still be caught
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - nobody gets a traceback unasked
        if debug:
            traceback.print_exception(error)
        return _tell(error)
    return int(code or ExitCode.OK) if args else ExitCode.USAGE


def command() -> TyperGroup:
    """The whole command line as one typer command; sub-commands load when they are asked for."""
    app = typer.Typer(
        cls=_Commands,
        help="People, masks, landmarks and metric 3D from video, in real time.\n\n"
        "Examples:\n\nbodystream run dance.mp4 -o dance.overlay.mp4 -o dance.jsonl\n\nbodystream doctor",
        epilog=EXIT_CODES_HELP,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def root(  # `run` has taken --debug out by now: it stands here for the help and for completion
        debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    ) -> None: ...

    whole = typer.main.get_command(app)  # with the options that install shell completion
    assert isinstance(whole, TyperGroup)
    return whole


class _Commands(TyperGroup):
    """A group that imports cli/NAME.py when NAME is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in COMMANDS:
            return _load(cmd_name)
        if ctx.resilient_parsing:  # the shell asks for completions: not the moment to complain
            return None
        raise UsageError(f"no command {cmd_name!r}{did_you_mean(cmd_name, COMMANDS)}")


def _load(name: str) -> Any:
    found = getattr(importlib.import_module(f"bodystream.cli.{name}"), COMMANDS[name])
    loaded: Any
    if isinstance(found, typer.Typer):
        loaded = typer.main.get_group(found)
    else:
        alone = typer.Typer(add_completion=False)
        alone.command()(found)
        loaded = typer.main.get_command(alone)
    loaded.name = name
    return loaded


def _tell(error: BaseException) -> ExitCode:
    """Say on stderr what happened, in one line, and return the exit code that it stands for."""
    match error:
        case BrokenPipeError() | OutputFailed(__cause__=BrokenPipeError()):
            return _reader_left()
        case KeyboardInterrupt() | typer.Abort():
            line, code = "interrupted", ExitCode.INTERRUPTED
        case BodystreamError():
            line, code = f"error: {error}", exit_code_of(error)
        case typer.TyperException():
            if not (what := error.format_message()):  # a group without a sub-command has shown its help
                return ExitCode.USAGE
            line, code = f"error: {what}{_where_to_look(error)}", ExitCode.USAGE
        case _:
            line = f"internal error: {type(error).__name__}: {error}; run again with --debug and report it"
            code = ExitCode.ERROR
    _print_red(" ".join(line.split()))
    return code


def _where_to_look(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f" See '{context.command_path} -h'." if context else ""


def _print_red(line: str) -> None:
    from rich.console import Console  # not before it is needed: --help has to answer at once
    from rich.text import Text

    head, colon, rest = line.partition(":")
    # rich leaves the colour out where stderr is no terminal or NO_COLOR is set
    Console(stderr=True).print(Text.assemble((head + colon, "bold red"), rest), soft_wrap=True)


def _reader_left() -> ExitCode:
    """The reader of stdout went away (`| head`): leave without a word, as other filters do."""
    os.dup2(
        os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
    )  # else the interpreter's last flush complains
    return ExitCode.ERROR
