"""`bodystream doctor`: what works here, what does not, and how to mend it."""

import importlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import typer

from bodystream import __version__
from bodystream.cli.exits import ExitCode
from bodystream.errors import (
    ModelError,
    SinkError,
    SourceNotFound,
    SourceUnreadable,
    WeightsCorrupt,
    WeightsMissing,
)

# Packages without which a run on the CPU cannot be, by the name that Python imports.
NEEDED = {"numpy": "numpy", "cv2": "opencv-python", "av": "av", "onnxruntime": "onnxruntime-gpu"}
# Room for the largest archive that weights come in (95 MB), once as it is and once taken apart, and for the
# ONNX files of all networks (under 100 MB).
ROOM_MB = 300
CAMERAS = range(4)  # more than most machines have; asking for an absent one takes no time


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report. `fail` is for what a run on the CPU needs, `warn` for the rest."""

    status: Literal["ok", "warn", "fail"]
    what: str
    found: str
    mend: str = ""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of the checks.")] = False,
) -> ExitCode:
    """Check what works on this machine, and say how to mend what does not.

    The exit code is 1 where something fails that a run on the CPU needs.

    Examples:

    bodystream doctor

    bodystream doctor --json
    """
    checks = []
    for check in examine():
        checks.append(check)
        if not as_json:
            _show(check)  # at once: some take seconds
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=1))
    return ExitCode.ERROR if any(check.status == "fail" for check in checks) else ExitCode.OK


def examine() -> Iterator[Check]:
    """Make all checks, each when it is asked for."""
    from importlib import metadata  # takes a tenth of the time of --help

    owners = metadata.packages_distributions()
    yield python(sys.version_info[:3])
    yield from packages(owners)
    yield from clashes(owners)
    for what, check in TRIALS.items():
        try:
            yield from check()
        except ImportError as error:  # of a package that was told to be missing or broken above
            yield Check("fail", what, f"cannot be tried: {error}", "see what fails above")


def python(version: Sequence[int]) -> Check:
    """The interpreter's version."""
    found = ".".join(map(str, version))
    if (3, 11) <= tuple(version[:2]) <= (3, 14):
        return Check("ok", "python", found)
    return Check("fail", "python", found, "make an environment with Python 3.11 to 3.14")


def packages(
    owners: Mapping[str, Sequence[str]], load: Callable[[str], object] = importlib.import_module
) -> Iterator[Check]:
    """Versions; what a run needs is imported, to see that it works; torch is not: it takes seconds.

    `owners` tells the distributions that a module belongs to, as importlib.metadata.packages_distributions.
    """
    yield Check("ok", "bodystream", __version__)
    for module, package in NEEDED.items():
        version = _version(owners, module)
        try:
            load(module)
        except ImportError as error:
            found = f"cannot be imported: {error}" if version else "not installed"
            yield Check("fail", module, found, f"pip install --force-reinstall {package}")
        else:
            yield Check("ok", module, version or "without version")
    torch = _version(owners, "torch")
    mend = "" if torch else 'pip install "torch>=2.13,<2.14"'
    yield Check(
        "ok" if torch else "warn", "torch", torch or "not installed: no network can be prepared", mend
    )


def clashes(owners: Mapping[str, Sequence[str]]) -> Iterator[Check]:
    """Packages that write over each other's files."""
    for module, package in (("cv2", "opencv-python"), ("onnxruntime", "onnxruntime-gpu")):
        found = sorted(set(owners.get(module, ())))
        if len(found) > 1:
            mend = f"pip uninstall {' '.join(found)}, then pip install {package}"
            yield Check("warn", f"{module} clash", f"{' and '.join(found)} both bring {module}/", mend)


def providers() -> Iterator[Check]:
    """Where networks really run: a small one is opened and run, on the CPU and with CUDA."""
    import numpy as np

    from bodystream.models.runtime import open_session

    with tempfile.TemporaryDirectory() as folder:
        path = _small_network(Path(folder))
        for device in ("cpu", "cuda"):
            try:
                session = open_session(path, device="auto" if device == "cuda" else device)
                session(np.ones((2, 3), np.float32))
            except ModelError as error:
                yield Check("fail", device, str(error), "pip install --force-reinstall onnxruntime-gpu")
                continue
            if session.note:
                mend = "with an NVIDIA GPU: its driver, and pip install 'bodystream[cuda]'"
                yield Check("warn", device, session.note, mend)
            else:
                yield Check("ok", device, session.provider)


def codecs() -> Iterator[Check]:
    """The encoders of video files: one frame through each."""
    import av

    for name, encode in (("libx264", _encode_picture), ("aac", _encode_sound)):
        try:
            encode()
            yield Check("ok", name, "encodes")
        except (av.FFmpegError, ValueError) as error:  # ValueError: av.codec.codec.UnknownCodecError
            mend = "pip install --force-reinstall av: its own wheel brings FFmpeg with it"
            yield Check("fail", name, f"does not encode: {error}", mend)


def window() -> Iterator[Check]:
    """Whether --show can open a window."""
    from bodystream.pipeline.sinks.window import open_screen

    try:
        open_screen("bodystream doctor", (320, 240)).close()
        yield Check("ok", "window", "opens")
    except SinkError as error:
        what, _, mend = str(error).partition("; ")
        yield Check("warn", "window", what, mend)


def cameras() -> Iterator[Check]:
    """Cameras that give a picture, and how they open."""
    from bodystream.pipeline.source.camera import Mode, open_camera
    from bodystream.pipeline.source.pick import Pick

    absent = 0
    for number in CAMERAS:
        try:
            camera = open_camera(number, Mode(), Pick(), time.monotonic_ns)
        except SourceNotFound:
            absent += 1
        except SourceUnreadable as error:
            yield Check("warn", f"camera {number}", str(error), "close other programs that use it")
        else:
            camera.close()
            yield Check("ok", f"camera {number}", " ".join(camera.info.notes))
    if absent == len(CAMERAS):
        yield Check("warn", "camera", "none opens", "plug one in, and see that you may use it (group video)")


def cache() -> Iterator[Check]:
    """The folder of weights and networks: writable, and with room."""
    from bodystream.models.store import cache_dir

    folder = cache_dir()
    elsewhere = "give another folder in BODYSTREAM_CACHE"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            free_mb = shutil.disk_usage(folder).free // 1_000_000
    except OSError as error:
        yield Check("fail", "cache", f"{folder} cannot be written: {error.strerror}", elsewhere)
        return
    found = f"{folder}, {free_mb} MB free"
    enough = free_mb >= ROOM_MB
    yield Check("ok" if enough else "warn", "cache", found, "" if enough else f"make room, or {elsewhere}")


def weights() -> Iterator[Check]:
    """Weights that are cached, their sha256 compared."""
    from bodystream.models import store
    from bodystream.models.zoo import ZOO

    for entry in ZOO:
        published = entry.system and not store.cached(entry.name)  # of other projects: nothing is amiss
        if entry.stage in ("clip", "calibration") or published:
            continue
        pull = f"bodystream models pull {entry.name}"
        try:
            store.verify(entry.name)
            yield Check("ok", entry.name, "cached, sha256 right")
        except WeightsMissing:
            yield Check("warn", entry.name, "not cached: the first run that wants it brings it", pull)
        except WeightsCorrupt as error:
            yield Check("fail", entry.name, str(error), f"delete the file, then {pull}")


def networks() -> Iterator[Check]:
    """ONNX files that runs have prepared in the cache: each is opened."""
    from bodystream.export.prepare import NETWORKS
    from bodystream.models.runtime import open_session
    from bodystream.models.store import onnx_dir

    for name in NETWORKS:
        what = f"{name}.onnx"
        files = sorted(onnx_dir().glob(f"{name}.*.onnx"))
        if not files:
            yield Check("warn", what, "not prepared: the first run that wants it makes it", "bodystream run")
        for file in files:
            try:
                session = open_session(file, device="cpu")
                yield Check("ok", what, f"prepared by bodystream {session.metadata['version']}, opens")
            except ModelError as error:
                yield Check("fail", what, str(error), f"delete {file}; the next run makes it again")


TRIALS: Mapping[str, Callable[[], Iterator[Check]]] = {
    "devices": providers,
    "codecs": codecs,
    "window": window,
    "cameras": cameras,
    "cache": cache,
    "weights": weights,
    "networks": networks,
}


def _version(owners: Mapping[str, Sequence[str]], module: str) -> str:
    from importlib import metadata

    return ", ".join(f"{metadata.version(name)} ({name})" for name in sorted(set(owners.get(module, ()))))


def _small_network(folder: Path) -> Path:
    """An ONNX file that gives back its input, with the metadata that bodystream asks of a network."""
    import onnx

    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])],
        "doctor",
        [onnx.helper.make_tensor_value_info("x", kind, [2, 3])],
        [onnx.helper.make_tensor_value_info("y", kind, [2, 3])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    about = {"name": "doctor", "stage": "doctor", "sha256": "", "precision": "fp32"}
    onnx.helper.set_model_props(model, {f"bodystream.{key}": value for key, value in about.items()})
    onnx.save(model, folder / "doctor.onnx")
    return folder / "doctor.onnx"


def _encode_picture() -> None:
    import av
    import numpy as np

    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = 64, 64, "yuv420p", Fraction(30)
    frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="bgr24")
    if not [*encoder.encode(frame), *encoder.encode(None)]:
        raise ValueError("nothing came out")


def _encode_sound() -> None:
    import av
    import numpy as np

    encoder = av.AudioCodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 44_100, "mono", "fltp"
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
    frame.sample_rate = 44_100
    if not [*encoder.encode(frame), *encoder.encode(None)]:
        raise ValueError("nothing came out")


def _show(check: Check) -> None:
    from rich.console import Console
    from rich.text import Text

    colour = {"ok": "green", "warn": "yellow", "fail": "bold red"}[check.status]
    line = Text.assemble((f"{check.status:4}", colour), f"  {check.what:20}  {check.found}")
    if check.mend:
        line.append(f"\n{'':28}mend: {check.mend}", "bold")
    Console(highlight=False).print(line, soft_wrap=True)
