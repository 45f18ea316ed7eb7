"""From weights to a checked ONNX file, once; afterwards the file is only found again.

A prepared file's name holds a key over all that went into it: weights, batch, version, and the code that made
it. Nothing here imports torch or onnx before a file has to be made.
"""

import hashlib
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import bodystream
from bodystream.errors import UsageError
from bodystream.export.whole import whole_or_not_at_all
from bodystream.models import store
from bodystream.models.rcnn import Shape
from bodystream.models.systems import WeightsSpec, kind_of
from bodystream.models.zoo import find

if TYPE_CHECKING:
    from bodystream.export.check import Checked
    from bodystream.export.systems import Made
    from bodystream.export.to_onnx import Exportable


@dataclass(frozen=True, slots=True)
class Network:
    """A network that can be prepared: zoo names of its weights, parameters first, and what builds it."""

    weights: tuple[str, ...]
    build: Callable[[list[Path]], "Exportable"]
    batch: int | None  # None: free, for networks that look at the crops of all people at once


def prepare(
    name: str,
    *,
    directory: Path | None = None,
    batch: int | None = None,
    progress: store.Progress | None = None,
    offline: bool | None = None,
) -> Path:
    """Path of the network's ONNX file, made now where `directory` (None: the cache's) lacks it.

    `batch` freezes the batch. `progress` is told of downloads in bytes and of the export in steps.
    Raises UsageError for an unknown name, WeightsMissing, WeightsCorrupt, ExportFailed.
    """
    network = _network(name)
    path = (directory or store.onnx_dir()) / f"{name}.{_key(network, batch or network.batch)}.onnx"
    if not path.exists():
        export(name, path, batch=batch, progress=progress, offline=offline)
    return path


def export(
    name: str,
    target: Path,
    *,
    batch: int | None = None,
    progress: store.Progress | None = None,
    offline: bool | None = None,
) -> "Checked":
    """Make the network's ONNX file at `target`, and return what was checked. Raises as `prepare`.

    An existing file is replaced, and only by one that passed.
    """
    network = _network(name)
    if batch is not None and batch < 1:
        raise UsageError(f"a batch of {batch}: expected 1 or more")
    batch = batch or network.batch
    weights = [store.fetch(each, progress=progress, offline=offline) for each in network.weights]

    def step(done: int) -> None:
        if progress:
            progress(f"preparing {name}", done, 3)

    step(0)
    from bodystream.export.check import check  # torch comes in here, and takes seconds
    from bodystream.export.meta import metadata, origin_of
    from bodystream.export.to_onnx import to_onnx

    built = network.build(weights)
    step(1)
    with whole_or_not_at_all([target]) as (part,):
        origin = origin_of([find(each) for each in network.weights])
        to_onnx(built, part, metadata(name, built.module, origin), batch)
        step(2)
        checked = check(part, built, (batch,) if batch else built.sizes)
    step(3)
    return checked


@dataclass(frozen=True, slots=True)
class Prepared:
    """A system's name and its ONNX files by piece: "trunk", "box", ...; those of one piece by kind, as "vnect"."""

    name: str
    pieces: Mapping[str, Path]


def prepare_system(
    weights: WeightsSpec,
    shape: Shape,
    precision: str = "fp32",
    *,
    directory: Path | None = None,
    progress: store.Progress | None = None,
    tell: store.Tell | None = None,
    offline: bool | None = None,
) -> Prepared:
    """The ONNX files of a system of `models.systems`, made now where `directory` (None: the cache's) lacks them.

    `shape` is for networks of whole pictures. `tell` is given what has to be known of weights before they are brought.
    Raises what `export_system` raises.
    """
    file, sha256 = _source(weights, progress, tell, offline)
    made_of = (sha256, weights.system, shape, precision)
    folder = (directory or store.onnx_dir()) / f"{weights.system or 'system'}.{_digest(made_of)}"
    if not folder.is_dir():
        from bodystream.export.systems import Request, make

        part = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.part")
        try:
            make(Request(weights, file, sha256, shape, precision), part, progress=progress)
            part.replace(folder)
        except OSError:
            if not folder.is_dir():  # if it is one, another process was quicker
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return _prepared(folder)


def export_system(
    weights: WeightsSpec,
    shape: Shape,
    folder: Path,
    *,
    precision: str = "fp32",
    opset: int | None = None,
    batch: int | None = None,
    images: Sequence[NDArray[np.uint8]] = (),
    overwrite: bool = False,
    progress: store.Progress | None = None,
    tell: store.Tell | None = None,
    offline: bool | None = None,
) -> "Made":
    """Make the ONNX files of a system of `models.systems` in `folder`, all or none, and return what was checked.

    Raises UsageError, OutputExists, ModelError where the folder cannot be written, WeightsMissing, WeightsCorrupt,
    WeightsMismatch, ExportFailed.
    """
    file, sha256 = _source(weights, progress, tell, offline)
    from bodystream.export.meta import OPSET
    from bodystream.export.systems import Request, make

    request = Request(weights, file, sha256, shape, precision, opset or OPSET, batch, images)
    return make(request, folder, overwrite=overwrite, progress=progress)


def _source(
    weights: WeightsSpec, progress: store.Progress | None, tell: store.Tell | None, offline: bool | None
) -> tuple[Path | None, str]:
    """The file that weights are in, None where they are of a seed, and their sha256, of the seed's words there."""
    if weights.seed is not None:
        return None, hashlib.sha256(f"{weights.system} {weights.seed}".encode()).hexdigest()
    path = store.resolve(weights.place, offline=offline, progress=progress, tell=tell)
    with path.open("rb") as file:
        return path, hashlib.file_digest(file, "sha256").hexdigest()


def _prepared(folder: Path) -> Prepared:
    """What lies in a folder that `prepare_system` made."""
    files = sorted(folder.glob("*.onnx"))
    names = [file.stem.split(".") for file in files]  # SYSTEM.PIECE, or SYSTEM
    system = names[0][0]
    return Prepared(
        system,
        {name[1] if len(name) > 1 else kind_of(system): f for name, f in zip(names, files, strict=True)},
    )


def _network(name: str) -> Network:
    if name not in NETWORKS:
        raise UsageError(f"no network called {name!r}; known: {', '.join(NETWORKS)}")
    return NETWORKS[name]


def _key(network: Network, batch: int | None) -> str:
    return _digest((batch, *(find(name).sha256 for name in network.weights)))


def _digest(parts: Sequence[object]) -> str:
    """What a file's name holds for all that went into it."""
    digest = hashlib.sha256(_code())
    for part in (bodystream.__version__, *parts):
        digest.update(f"{part};".encode())
    return digest.hexdigest()[:12]


@cache
def _code() -> bytes:
    """Digest of the modules that a file is made by: with any change of theirs it is made again."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for folder in ("export", "models/nets", "models/weights"):
        for file in sorted((package / folder).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.digest()


def _picodet(weights: list[Path]) -> "Exportable":
    from bodystream.export.to_onnx import Exportable, pictures
    from bodystream.export.wrap_detector import INPUT_NAME, TOLERANCE, DetectorForExport
    from bodystream.models.nets.picodet import INPUT_SIZE
    from bodystream.models.weights.picodet import load_picodet

    parameters, program = weights
    module = DetectorForExport(load_picodet(program, parameters))
    return Exportable(module, pictures(INPUT_NAME, INPUT_SIZE, INPUT_SIZE, 3), TOLERANCE)


def _blazepose(weights: list[Path]) -> "Exportable":
    from bodystream.export.to_onnx import Exportable, pictures
    from bodystream.export.wrap_pose import PoseForExport
    from bodystream.models.weights.blazepose import load_blazepose

    module = PoseForExport(load_blazepose(weights[0]))
    # px of the crop; probability; a level of 255, where rounding tips over; m
    tolerances = {"landmarks": 0.02, "presence": 1e-3, "mask": 1, "world": 1e-4}
    return Exportable(module, pictures("crops", 256, 256, 3), tolerances)


def _correspondence(weights: list[Path]) -> "Exportable":
    from bodystream.export.to_onnx import Exportable
    from bodystream.export.wrap_dense import TOLERANCES, CorrespondenceForExport, example
    from bodystream.models.weights.correspondence import load_correspondence

    module = CorrespondenceForExport(load_correspondence(weights[0]))
    return Exportable(module, example, TOLERANCES, ties=module.ties)


def _lift(weights: list[Path]) -> "Exportable":
    from bodystream.export.to_onnx import Exportable
    from bodystream.export.wrap_lift import TOLERANCES, LiftForExport, example
    from bodystream.models.weights.lift import load_lift

    return Exportable(LiftForExport(load_lift(weights[0])), example, TOLERANCES)


NETWORKS: Mapping[str, Network] = {
    "picodet-s": Network(("picodet-s", "picodet-s-graph"), _picodet, batch=1),
    "blazepose-lite": Network(("blazepose-lite",), _blazepose, batch=None),
    "blazepose-full": Network(("blazepose-full",), _blazepose, batch=None),
    "blazepose-heavy": Network(("blazepose-heavy",), _blazepose, batch=None),
    "lift-s": Network(("lift-s",), _lift, batch=None),
    "dense-s": Network(("dense-s",), _correspondence, batch=None),
}
