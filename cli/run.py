"""`bodystream run`: a source through the pipeline into files, a window or the terminal."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from bodystream.cli import options as o
from bodystream.cli.config import ConfigFile
from bodystream.cli.exits import ExitCode
from bodystream.errors import UsageError

if TYPE_CHECKING:  # these bring numpy, and --help must answer at once
    from bodystream.pipeline.draw import Layers
    from bodystream.pipeline.runner import Run
    from bodystream.pipeline.sinks.window import Window
    from bodystream.pipeline.types import End, Header


def run(
    context: typer.Context,
    source: o.SourceArgument,
    output: o.Outputs = None,
    overwrite: o.Overwrite = False,
    surface: o.Surface = "parts",
    texture: o.TextureName = None,
    mesh: o.Mesh = False,
    show: o.Show = False,
    view: o.View = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    start: o.Start = None,
    end: o.Finish = None,
    stride: o.Stride = 1,
    max_frames: o.MaxFrames = None,
    size: o.Size = None,
    fps: o.Rate = None,
    fourcc: o.FourCC = None,
    chain: o.ChainName = "light",
    weights: o.Weights = None,
    net_size: o.NetSize = None,
    proposals: o.Proposals = 100,
    two_scales: o.TwoScales = False,
    detect: o.DetectNet = "picodet-s",
    segment: o.SegmentNet = "full",
    lift: o.LiftNet = "lift-s",
    dense: o.DenseNet = "dense-s",
    detect_every: o.DetectEvery = 10,
    max_people: o.MaxPeople = 20,
    min_score: o.MinScore = None,
    smooth: o.Smooth = None,
    flip_repair: o.Flips = True,
    device: o.Device = "auto",
    threads: o.Threads = None,
    spin: o.Spin = False,
    offline: o.Offline = False,
    pose3d: o.PoseFit = "fit",
    focal_px: o.FocalPx = None,
    fov: o.FieldOfView = None,
    calibration: o.Calibration = None,
    camera: o.CalibratedCamera = None,
    up: o.Up = None,
    height_m: o.HeightM = None,
    contacts: o.Contacts = True,
    dense_refine: o.DenseRefine = True,
    policy: o.PolicyName = "auto",
    queue: o.Queue = 2,
    target_fps: o.TargetFps = None,
    strict_fps: o.StrictFps = False,
    _config: ConfigFile = None,
) -> ExitCode:
    """Find the people in a video: masks, landmarks, ids, body surface, 3D pose; write what the suffixes of -o ask for.

    Examples:

    bodystream run dance.mp4 -o dance.overlay.mp4 -o dance.jsonl

    bodystream run dance.mp4 -o dance.iuv/ -o painted.mp4 --texture jersey

    bodystream run walk.mp4 -o walk.bvh -o walk.glb --height-m 1.78

    bodystream run 0 --show --target-fps 30

    bodystream run clip.mp4 --chain rcnn --weights model.pth -o clip.overlay.mp4
    """
    min_score = min_score if min_score is not None else 0.5 if chain == "rcnn" else 0.2
    smooth = smooth or ("vnect" if chain == "rcnn" else "mediapipe")
    values = dict(locals())
    foreign = {"context", "_config"} | o.foreign_flags(chain, segment, dense)
    flags = {name: value for name, value in values.items() if name not in foreign and value is not None}
    outputs = output or []
    if json and "-" in outputs:
        raise UsageError("--json and -o - both write to stdout; leave one out")
    if strict_fps and target_fps is None:
        raise UsageError("--strict-fps needs a rate to be strict about; add --target-fps 30")
    o.check_chain(chain, segment, dense, lambda name: _typed(context, name))
    if dense == "off" and any(name.rstrip("/").lower().endswith(".iuv") for name in outputs):
        raise UsageError(".iuv pictures show dense correspondence, which is off; leave out --dense off")
    o.check_mesh(mesh, outputs, view=view)
    motion = [name for name in outputs if name.lower().endswith(o.MOTION)]
    if pose3d == "off" and motion:
        raise UsageError(f"{motion[0]} needs poses in space, which are off; leave out --pose3d off")

    import time

    from bodystream.cli.drawing import chosen_layers
    from bodystream.cli.prepare import Own, fetched, light_chain, rcnn_chain
    from bodystream.models.systems import parse
    from bodystream.pipeline.chain import Chain
    from bodystream.pipeline.draw import Hud
    from bodystream.pipeline.handoff import Policy
    from bodystream.pipeline.lens import open_lens
    from bodystream.pipeline.runner import Run, Wiring
    from bodystream.pipeline.sinks import open_sinks
    from bodystream.pipeline.sinks.rerun import RerunSink
    from bodystream.pipeline.source import open_source
    from bodystream.pipeline.stages import Choices, Placement
    from bodystream.pipeline.stages.rcnn_chain import RcnnChoices
    from bodystream.pipeline.types import Header

    console = Console(stderr=True, quiet=quiet)
    semantic = segment if segment in o.SEMANTIC else None
    own = Own([parse(each) for each in weights or ()], o.size_of("--net-size", net_size), proposals, semantic)
    layers = chosen_layers(surface, texture)
    opened = open_source(
        source,
        start=start,
        end=end,
        stride=stride,
        max_frames=max_frames,
        size=o.size_of("--size", size),
        fps=fps,
        fourcc=fourcc,
    )
    try:
        # A folder of pictures is an input too; `info.path` is a file's.
        inputs = [opened.info.path or Path(source)] if not opened.info.live else []
        sinks = open_sinks(
            outputs,
            tell=partial(console.print, soft_wrap=True, markup=False, highlight=False),
            overwrite=overwrite,
            inputs=inputs,
            layers=layers,
            hud=Hud(),
            mesh=mesh,
        )
        sinks += [RerunSink(None, mesh=mesh)] if view else []
        lens = open_lens(
            opened.info,
            focal_px=focal_px,
            fov=fov,
            calibration=None if calibration is None else fetched([calibration], offline=offline)[0],
            camera=camera,
            up=up,
        )
        placement = Placement(device, threads, spin)
        if chain == "rcnn":
            choices = RcnnChoices(
                dense=dense != "off",
                pose3d=pose3d != "off",
                semantic=own.semantic is not None,
                two_scales=two_scales,
                max_people=max_people,
                min_score=min_score,
                smooth=smooth,
                height_m=height_m,
                contacts=contacts,
                dense_refine=dense_refine,
            )
            # Poses are given where there is VNect; whoever asks for them gets them or is told.
            poses = bool(motion) or (pose3d == "fit" and _typed(context, "pose3d"))
            made = rcnn_chain(
                choices, own, placement, lens, opened.info, outputs, poses=poses, offline=offline
            )
        else:
            light = Choices(
                detect=detect,
                segment=segment if own.semantic is None else "full",
                lift=lift,
                dense=dense,
                pose3d=pose3d,
                detect_every=detect_every,
                max_people=max_people,
                min_score=min_score,
                smooth=smooth,
                repair_flips=flip_repair,
                height_m=height_m,
                contacts=contacts,
                dense_refine=dense_refine,
            )
            made = light_chain(light, own, placement, lens, opened.info, offline=offline)
        chosen = Policy(policy) if policy != "auto" else Policy.LATEST if opened.info.live else Policy.EVERY
        wiring = Wiring(time.monotonic_ns, chosen, queue, target_fps)
        running = Chain(made.stages, wiring.clock)
        settings = flags | {"policy": str(chosen)}
        header = Header(opened.info, running.models, settings, made.keypoints, made.keys)

        def stop() -> None:
            wiring.stop.set()
            opened.close()

        views = _windows(stop, wiring.stop.is_set, layers) if show else []
        for note in opened.info.notes:
            console.print(note, markup=False, highlight=False)
        with ending_on_interrupt(stop) as interrupted:
            summary = _watched(
                Run(header, opened, running, sinks, wiring, views), header, console, quiet=quiet
            )
    finally:
        opened.close()
    _report(summary, header, console, json=json)
    if interrupted():
        return ExitCode.INTERRUPTED
    return ExitCode.TOO_SLOW if strict_fps and not summary.met else ExitCode.OK


def _typed(context: typer.Context, name: str) -> bool:
    """Whether a parameter's value was given, on the command line or in --config's file."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _windows(stop: Callable[[], None], stopped: Callable[[], bool], layers: "Layers") -> "list[Window]":
    from bodystream.pipeline.sinks.window import Window

    return [Window(stop, stopped, layers=layers)]


@contextmanager
def ending_on_interrupt(stop: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Ctrl-C ends the source, and the files are finished; a second one gives up on them too."""
    pressed: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        pressed.append(number)
        signal.signal(number, signal.default_int_handler)
        stop()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(pressed)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watched(run: "Run", header: "Header", console: Console, *, quiet: bool) -> "End":
    """Carry the run out, and show how it goes."""
    if quiet:
        return run()
    from bodystream.cli.live import LiveView
    from bodystream.pipeline.draw import Rate

    view = LiveView(
        console, header, run.book.rows, Rate(), counts=lambda: run.counts, target_fps=run.wiring.target_fps
    )
    with view:
        return run(view)


def _report(end: "End", header: "Header", console: Console, *, json: bool) -> None:
    from bodystream.cli.live import summary_json, summary_table

    if json:
        import orjson

        typer.echo(orjson.dumps(summary_json(end, header), option=orjson.OPT_INDENT_2).decode())
    else:
        # A log file has no width: wide enough that no column is cut.
        wide = console if console.is_terminal else Console(stderr=True, quiet=console.quiet, width=160)
        wide.print(summary_table(end, header))
