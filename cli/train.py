"""`bodystream train`: networks from synthetic people."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bodystream.cli.config import ConfigFile
from bodystream.cli.exits import ExitCode
from bodystream.cli.run import ending_on_interrupt

if TYPE_CHECKING:  # torch comes in with it
    from bodystream.training.learner import Listener, Report, Settings

app = typer.Typer(
    no_args_is_help=True,
    help="Train networks of bodystream's own.\n\nExamples:\n\nbodystream train dense -o training-dense\n\n"
    "bodystream train dense --help",
)
COLUMNS = ("samples ", "loss ", "part accuracy ", "median cm ", "mean cm ", "samples/s ", "min ")


@app.callback()
def _group() -> None:
    """Keep `dense` a sub-command while it is the only one."""


@app.command()
def dense(
    folder: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Where weights, checkpoint and curve go.",
            show_default=False,
        ),
    ],
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in DIR.")] = False,
    poses: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Motion capture; poses are made up alone if not given."),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=1, help="How many to learn from; the rate falls to nothing towards the end.")
    ] = 2_000_000,
    batch: Annotated[int, typer.Option(min=1, help="Samples to a step, over all processes.")] = 64,
    rate: Annotated[float, typer.Option("--lr", min=0, help="Peak rate of learning.")] = 2.5e-3,
    seed: Annotated[int, typer.Option(min=0, help="Everything random follows from it.")] = 0,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Stop after so many minutes; --resume goes on.")
    ] = None,
    validate_every: Annotated[int, typer.Option(min=1, help="Samples between lines of the curve.")] = 25_000,
    held_out: Annotated[int, typer.Option(min=1, help="Samples that it is judged by.")] = 512,
    processes: Annotated[
        int | None, typer.Option(min=1, help="All cores if not given; on a GPU they make samples.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    _config: ConfigFile = None,
) -> ExitCode:
    """Train dense-s: part and place on the body's surface out of mask, landmarks and the posed body.

    Learns from people that are made up as it goes: posed, dressed, seen and disturbed. DIR then holds
    dense-s.safetensors, checkpoint.safetensors and curve.jsonl, whose first line is the baseline's. Ctrl-C
    stops after a checkpoint; so does --minutes.

    Examples:

    bodystream train dense -o training-dense --poses mocap

    bodystream train dense -o training-dense --poses mocap --resume --minutes 60
    """
    from bodystream.training.dense import sources
    from bodystream.training.learner import Settings
    from bodystream.training.loop import hardware, train

    settings = Settings(
        samples, batch, rate, seed, minutes, validate_every, held_out, *hardware(device, processes)
    )
    source, unseen = sources(poses)
    pressed: list[bool] = []
    with ending_on_interrupt(lambda: pressed.append(True)) as interrupted, _shown(settings) as listener:
        train(source, unseen, folder, settings, resume=resume, listener=listener(interrupted))
    return ExitCode.INTERRUPTED if interrupted() else ExitCode.OK


@contextmanager
def _shown(settings: "Settings") -> Iterator[Callable[[Callable[[], bool]], "Listener"]]:
    """A bar on stderr, and above it the lines of the curve on stdout."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from bodystream.training.learner import Listener

    columns: tuple[Any, ...] = (
        TextColumn("samples"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f}, loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )
    typer.echo("".join(f"{head.strip():>15}" for head in COLUMNS))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("samples", total=settings.samples, loss=0.0)
        yield lambda interrupted: Listener(
            step=lambda done, loss: progress.update(bar, completed=done, loss=loss),
            line=lambda report: typer.echo(_row(report)),
            interrupted=interrupted,
        )


def _row(report: "Report") -> str:
    values = (
        f"{report.samples}",
        "" if report.loss is None else f"{report.loss:.3f}",
        f"{report.part_accuracy:.4f}",
        f"{report.median_cm:.2f}",
        f"{report.mean_cm:.2f}",
        "" if report.samples_per_s is None else f"{report.samples_per_s:.0f}",
        f"{report.wall_s / 60:.1f}",
    )
    return "".join(f"{value:>15}" for value in values)
