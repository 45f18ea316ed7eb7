"""`bodystream train`: networks from synthetic people, and from data of one's own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bodystream.cli.config import ConfigFile
from bodystream.cli.exits import ExitCode
from bodystream.cli.run import ending_on_interrupt
from bodystream.errors import UsageError

if TYPE_CHECKING:  # torch comes in with it
    from bodystream.training.learner import Listener, Report, Settings
    from bodystream.training.source import Source
    from bodystream.training.task import Task

app = typer.Typer(
    no_args_is_help=True,
    help="Train networks of bodystream's own.\n\nExamples:\n\nbodystream train dense -o training-dense\n\n"
    "bodystream train rcnn -o training-rcnn --poses mocap",
)

# What every training is told, once for all.
Folder = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Where weights, checkpoint and curve go.",
        show_default=False,
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in DIR.")]
Poses = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Motion capture; poses are made up alone if not given."),
]
Samples = Annotated[
    int, typer.Option(min=1, help="How many to learn from; the rate falls to nothing towards the end.")
]
Batch = Annotated[int, typer.Option(min=1, help="Samples to a step, over all processes.")]
Rate = Annotated[float, typer.Option("--lr", min=0, help="Peak rate of learning.")]
Seed = Annotated[int, typer.Option(min=0, help="Everything random follows from it.")]
Minutes = Annotated[float | None, typer.Option(min=0, help="Stop after so many minutes; --resume goes on.")]
ValidateEvery = Annotated[int, typer.Option(min=1, help="Samples between lines of the curve.")]
HeldOut = Annotated[int, typer.Option(min=1, help="Samples that it is judged by.")]
Processes = Annotated[
    int | None, typer.Option(min=1, help="All cores if not given; on a GPU they make samples.")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


@app.command()
def dense(
    folder: Folder,
    resume: Resume = False,
    poses: Poses = None,
    samples: Samples = 2_000_000,
    batch: Batch = 64,
    rate: Rate = 2.5e-3,
    seed: Seed = 0,
    minutes: Minutes = None,
    validate_every: ValidateEvery = 25_000,
    held_out: HeldOut = 512,
    processes: Processes = None,
    device: Device = "auto",
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
    from bodystream.training.dense.task import DENSE, sources
    from bodystream.training.learner import Settings
    from bodystream.training.loop import hardware

    settings = Settings(
        samples, batch, rate, seed, minutes, validate_every, held_out, *hardware(device, processes)
    )
    return _train(DENSE, sources(poses), folder, settings, resume=resume)


@app.command()
def lift(
    folder: Folder,
    resume: Resume = False,
    poses: Poses = None,
    noise: Annotated[
        str, typer.Option(help="The landmark net's errors: hand, fitted, or mixed of both.")
    ] = "mixed",
    samples: Samples = 20_000_000,
    batch: Batch = 2048,
    rate: Rate = 1.5e-3,
    seed: Seed = 0,
    minutes: Minutes = None,
    validate_every: ValidateEvery = 1_000_000,
    held_out: HeldOut = 4096,
    processes: Processes = None,
    device: Device = "auto",
    _config: ConfigFile = None,
) -> ExitCode:
    """Train lift-s: a person's joints in 3D out of the landmark net's, which errs in depth.

    Learns from people that are made up as it goes: posed, placed before cameras, and seen with the landmark net's
    errors. DIR then holds lift-s.safetensors, checkpoint.safetensors and curve.jsonl. The curve gives millimetres
    on people it has not learned from, those of the landmark net beside them. Ctrl-C stops after a checkpoint; so
    does --minutes.

    Examples:

    bodystream train lift -o training-lift --poses mocap

    bodystream train lift -o training-lift --poses mocap --resume --minutes 60
    """
    from bodystream.training.learner import Settings
    from bodystream.training.lift.task import LIFT, sources
    from bodystream.training.loop import hardware

    settings = Settings(
        samples, batch, rate, seed, minutes, validate_every, held_out, *hardware(device, processes)
    )
    return _train(LIFT, sources(poses, noise), folder, settings, resume=resume)


@app.command()
def rcnn(
    folder: Folder,
    resume: Resume = False,
    poses: Poses = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Data in COCO's format, annotations.json and images/; scenes are made up if not given.",
        ),
    ] = None,
    backgrounds: Annotated[
        Path | None,
        typer.Option(metavar="IMAGES", help="Pictures without people, to put behind made-up ones."),
    ] = None,
    samples: Samples = 20_500,
    batch: Batch = 4,
    rate: Rate = 1.5e-3,
    seed: Seed = 0,
    minutes: Minutes = None,
    validate_every: ValidateEvery = 2_000,
    held_out: HeldOut = 96,
    processes: Processes = None,
    device: Device = "auto",
    _config: ConfigFile = None,
) -> ExitCode:
    """Train rcnn-s, a small DensePose-RCNN: boxes, masks, and the place on the body that each pixel shows.

    Learns from nothing, from pictures that are made up as it goes: people posed, dressed, lit, and placed before
    one another; or, boxes and masks alone, from data in COCO's format, a tenth of which it is judged by. DIR then
    holds rcnn-s.safetensors, checkpoint.safetensors and curve.jsonl, with average precision at an overlap of one
    half, and the share of people's pixels whose part is right. Ctrl-C stops after a checkpoint; so does --minutes.

    Examples:

    bodystream train rcnn -o training-rcnn --poses mocap

    bodystream train rcnn -o training-rcnn --poses mocap --resume --minutes 60

    bodystream train rcnn -o training-coco --data coco
    """
    from bodystream.training.learner import Settings
    from bodystream.training.loop import hardware
    from bodystream.training.rcnn.task import RCNN, sources

    if data is not None and (poses is not None or backgrounds is not None):
        raise UsageError("--data goes with neither --poses nor --backgrounds: these are for made-up scenes")
    settings = Settings(
        samples, batch, rate, seed, minutes, validate_every, held_out, *hardware(device, processes)
    )
    return _train(RCNN, sources(poses, data, backgrounds), folder, settings, resume=resume)


@app.command()
def classifier(
    folder: Folder,
    data: Annotated[
        str,
        typer.Option(
            metavar="digits|FOLDER",
            help="scikit-learn's digits, or a folder with a sub-folder of pictures to a class.",
            show_default=False,
        ),
    ],
    network: Annotated[
        str,
        typer.Option(help="lenet-5, alexnet, vgg-16, googlenet, resnet-18, -34, -50, -101, densenet-121."),
    ] = "lenet-5",
    size: Annotated[int, typer.Option(min=32, help="Side of the pictures, px; LeNet-5 has its own.")] = 224,
    resume: Resume = False,
    samples: Samples = 40_000,
    batch: Batch = 64,
    rate: Rate = 6e-3,
    seed: Seed = 0,
    minutes: Minutes = None,
    validate_every: ValidateEvery = 10_000,
    held_out: HeldOut = 512,
    processes: Processes = None,
    device: Device = "auto",
    _config: ConfigFile = None,
) -> ExitCode:
    """Train a classifier from nothing: which of some classes a picture shows.

    A fifth of the pictures is held out. DIR then holds NETWORK.safetensors, which knows its classes,
    checkpoint.safetensors and curve.jsonl. Ctrl-C stops after a checkpoint; so does --minutes.

    Examples:

    bodystream train classifier -o training-digits --data digits

    bodystream train classifier -o training-birds --data birds --network resnet-18 --samples 500000
    """
    from bodystream.training.classifier.pictures import classes, sources
    from bodystream.training.classifier.task import task
    from bodystream.training.learner import Settings
    from bodystream.training.loop import hardware

    made = task(network, classes(data))
    settings = Settings(
        samples, batch, rate, seed, minutes, validate_every, held_out, *hardware(device, processes)
    )
    return _train(made, sources(data, network, size), folder, settings, resume=resume)


def _train(
    task: "Task[Any]",
    sources: tuple["Source", "Source"],
    folder: Path,
    settings: "Settings",
    *,
    resume: bool,
) -> ExitCode:
    """Train on the first source and judge by the second, showing how far it is, until done or interrupted."""
    from bodystream.training.loop import train

    pressed: list[bool] = []
    with (
        ending_on_interrupt(lambda: pressed.append(True)) as interrupted,
        _shown(settings) as listener,
    ):
        train(task, *sources, folder, settings, resume=resume, listener=listener(interrupted))
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
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("samples", total=settings.samples, loss=0.0)
        yield lambda interrupted: Listener(
            step=lambda done, loss: progress.update(bar, completed=done, loss=loss),
            line=_Table(),
            interrupted=interrupted,
        )


class _Table:
    """Writes the lines of the curve to stdout, and above the first one what its columns are."""

    def __init__(self) -> None:
        self._headed = False

    def __call__(self, report: "Report") -> None:
        row = {
            "samples": f"{report.samples}",
            **{
                _words(name): "" if value is None else f"{value:.3f}" for name, value in report.losses.items()
            },
            **{_words(name): f"{value:.4g}" for name, value in report.figures.items()},
            "samples/s": "" if report.samples_per_s is None else f"{report.samples_per_s:.0f}",
            "min": f"{report.wall_s / 60:.1f}",
        }
        if not self._headed:
            self._headed = True
            typer.echo("".join(f"{head:>15}" for head in row))
        typer.echo("".join(f"{value:>15}" for value in row.values()))


def _words(name: str) -> str:
    return name.replace("_", " ")
