"""The one place that knows onnxruntime: sessions that say where they really run.

ONNX Runtime falls back to the CPU in silence, when it opens a file and again in mid-run, and
`get_available_providers` lists what was compiled in, not what works. Here both fallbacks are off, and only
`InferenceSession.get_providers` is believed. (`session.disable_cpu_ep_fallback` is not the way: it also
refuses the shape arithmetic that ONNX Runtime puts on the CPU on purpose, microsoft/onnxruntime#17930.)
"""

import io
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from bodystream.errors import DeviceUnavailable, ModelError, UsageError

KEY_PREFIX = "bodystream."  # of the metadata that `export` writes into a file
NEEDED_KEYS = ("name", "stage", "sha256", "precision")

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
CUDA_OPTIONS = {
    # The default tries every algorithm for each new shape, and the batch of people is new in every frame.
    "cudnn_conv_algo_search": "HEURISTIC",
    # A file that says fp32 runs in fp32: the parity that `export` checks would not hold in TF32.
    "use_tf32": "0",
}
ERRORS_ONLY = 3  # ONNX Runtime's log level

# What ONNX Runtime raises; its classes share no root but Exception.
ORT_ERRORS = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    RuntimeError,
    ValueError,
)


class Value:
    """An array that stays where a session left it: on the GPU, where the session runs there.

    What one session returns goes into another one of the same device without a way over the host's memory.
    """

    def __init__(self, held: ort.OrtValue) -> None:
        self._held = held

    @property
    def shape(self) -> tuple[int, ...]:
        """Its axes."""
        return tuple(self._held.shape())

    def numpy(self) -> NDArray[Any]:
        """The array in the host's memory: a copy."""
        array: NDArray[Any] = self._held.numpy()
        return array


@dataclass(frozen=True, slots=True)
class Input:
    """What a file declares of one of its inputs: shape, with a name for a free axis, and dtype."""

    shape: tuple[int | str, ...]
    dtype: np.dtype[Any]


class Session:
    """An ONNX file of bodystream, ready to run, its outputs in their declared order.

    `provider` is what really runs, `note` what the user should be told about that ("" for nothing), `sha256`
    that of the weights that the file was made from, `inputs` what is declared of each, `input` the shape of
    the first, `outputs` the names. A file with one input is called with an array; `run` takes any number.
    """

    def __init__(self, inference: ort.InferenceSession, path: Path, note: str = "") -> None:
        self.metadata = _metadata(inference.get_modelmeta().custom_metadata_map, path)
        self.name, self.stage, self.sha256, self.precision = (self.metadata[key] for key in NEEDED_KEYS)
        self.provider: str = inference.get_providers()[0]
        self.note = note
        self.inputs: Mapping[str, Input] = {
            declared.name: Input(tuple(declared.shape), _dtype(declared.type))
            for declared in inference.get_inputs()
        }
        self.input: tuple[int | str, ...] = next(iter(self.inputs.values())).shape
        self.outputs: tuple[str, ...] = tuple(output.name for output in inference.get_outputs())
        self._inference, self._device = inference, _device(inference)

    def __call__(self, batch: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Outputs for a batch (N, ...) of the input's shape and dtype; any N will do, even where fixed.

        A fixed batch is filled up with zeros and cut again; more than fit are run in several goes.
        """
        fixed = self.input[0]
        if isinstance(fixed, str) or len(batch) == fixed:
            return self._run(batch)
        goes = [
            self._run(_padded(batch[start : start + fixed], fixed))
            for start in range(0, max(len(batch), 1), fixed)
        ]
        return tuple(np.concatenate(parts)[: len(batch)] for parts in zip(*goes, strict=True))

    def run(self, feeds: Mapping[str, NDArray[Any] | Value]) -> dict[str, Value]:
        """Outputs by name, left on the session's device, for inputs by name, from wherever they are.

        Shapes and dtypes are those of `inputs`: nothing is filled up. Raises ValueError for other names.
        """
        if feeds.keys() != self.inputs.keys():
            raise ValueError(f"{self.name} takes {', '.join(self.inputs)}; given: {', '.join(feeds)}")
        kind, number = self._device
        binding = self._inference.io_binding()
        for name, given in feeds.items():
            if isinstance(given, Value) and given._held.device_name() in (kind, "cpu"):
                binding.bind_ortvalue_input(name, given._held)
            else:
                array = given.numpy() if isinstance(given, Value) else np.ascontiguousarray(given)
                binding.bind_cpu_input(name, array)
        for name in self.outputs:
            binding.bind_output(name, kind, number)
        self._inference.run_with_iobinding(binding)
        return dict(zip(self.outputs, map(Value, binding.get_outputs()), strict=True))

    def warm(self, batch_sizes: Iterable[int] = (1,)) -> None:
        """Run once at each batch size, so that no frame pays for first-time work."""
        for size in batch_sizes:
            zeros = {
                # the batch alone is ever free
                name: np.zeros([size if isinstance(axis, str) else axis for axis in each.shape], each.dtype)
                for name, each in self.inputs.items()
            }
            if len(zeros) > 1:
                self.run(zeros)
            else:
                self(*zeros.values())

    def info(self) -> dict[str, Any]:
        """What a results file says about a network that ran."""
        return {
            "stage": self.stage,
            "name": self.name,
            "sha256": self.sha256,
            "provider": self.provider,
            "precision": self.precision,
            "input": list(self.input),
        }

    def _run(self, batch: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        [name] = self.inputs
        return tuple(self._inference.run(None, {name: batch}))


def open_session(
    path: Path, *, device: str = "auto", threads: int | None = None, spin: bool = False
) -> Session:
    """Open an ONNX file that `export` made.

    `device` is "auto", "cpu", "cuda" or "cuda:N"; only "auto" may settle for the CPU, and says so in `note`.
    `threads` None is one for each core that this process may use. `spin` keeps them busy between runs: a
    little faster on an idle machine, much slower where the threads of the pipeline want the same cores.
    Raises ModelError for a file that is missing, damaged or not bodystream's, DeviceUnavailable, UsageError.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such ONNX file; make one with: bodystream export")
    options = _options(threads or available_cores(), spin)
    number = _cuda_number(device)
    if number is None:
        return Session(_load_on_cpu(path, options), path)
    inference, reason = _load_on_cuda(path, options, number)
    if inference:
        return Session(inference, path)
    on_cpu = _load_on_cpu(path, options)  # a damaged file is told of as such
    if device != "auto":
        raise DeviceUnavailable(
            f"--device {device}: CUDA does not run here: {reason}. It needs an NVIDIA GPU with its driver "
            "and the extra bodystream[cuda]; --device auto takes the CPU where there is none"
        )
    return Session(on_cpu, path, note=f"on the CPU: CUDA does not run here ({reason})")


def quantise(
    source: Path, target: Path, feeds: Sequence[Mapping[str, NDArray[Any]]], nodes: Sequence[str]
) -> None:
    """Write an ONNX file anew, the named nodes in 8 bits: weights by channel, activations by what `feeds` make them.

    Static, with QuantizeLinear and DequantizeLinear about each node, which ONNX Runtime joins. Activations are
    unsigned, weights signed: what CPUs with VNNI multiply.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc] # has no types
        """The feeds, one after the other."""

        def __init__(self) -> None:
            self._feeds = iter(feeds)

        def get_next(self) -> Mapping[str, NDArray[Any]] | None:
            return next(self._feeds, None)

    root = logging.getLogger()
    level = root.level
    root.setLevel(
        logging.ERROR
    )  # "consider to run pre-processing": torch's exporter has simplified the graph
    try:
        quantize_static(
            source,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=list(nodes),
        )
    finally:
        root.setLevel(level)


def available_cores() -> int:
    """Physical cores that this process may use: its share where it has one, hyper-threads not counted."""
    if not hasattr(os, "sched_getaffinity"):  # macOS, Windows
        return os.cpu_count() or 1
    siblings = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    return len({_text(siblings.format(cpu)) or cpu for cpu in os.sched_getaffinity(0)})


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:  # not told here
        return ""


def _metadata(raw: Mapping[str, str], path: Path) -> Mapping[str, str]:
    metadata = {
        key.removeprefix(KEY_PREFIX): value for key, value in raw.items() if key.startswith(KEY_PREFIX)
    }
    if absent := [key for key in NEEDED_KEYS if key not in metadata]:
        raise ModelError(
            f"{path} was not made by bodystream: metadata lacks {', '.join(absent)}. Use: bodystream export"
        )
    return metadata


def _dtype(declared: str) -> np.dtype[Any]:
    """numpy's dtype of ONNX Runtime's "tensor(float)" and the like."""
    element = declared.removeprefix("tensor(").removesuffix(")")
    return np.dtype({"float": "float32", "double": "float64"}.get(element, element))


def _device(inference: ort.InferenceSession) -> tuple[str, int]:
    """Where a session's outputs are made, in ONNX Runtime's words: its name, and which one."""
    provider = inference.get_providers()[0]
    if provider != CUDA:
        return "cpu", 0
    return "cuda", int(inference.get_provider_options()[provider]["device_id"])


def _padded(batch: NDArray[Any], size: int) -> NDArray[Any]:
    return np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), batch.dtype)])


def _options(threads: int, spin: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
    return options


def _cuda_number(device: str) -> int | None:
    """Number of the CUDA device to try; None for the CPU alone."""
    if device == "cpu":
        return None
    if found := re.fullmatch(r"auto|cuda(?::(\d+))?", device):
        return int(found[1] or 0)
    raise UsageError(f"--device {device}: expected auto, cpu, cuda or cuda:N")


def _load_on_cuda(
    path: Path, options: ort.SessionOptions, number: int
) -> tuple[ort.InferenceSession | None, str]:
    """The session, if it really runs on CUDA, else None; and why not."""
    if CUDA not in ort.get_available_providers():
        return None, "this onnxruntime was built without it"
    with _captured_output() as output:
        ort.preload_dlls()  # finds CUDA's libraries among the installed packages; prints, never raises
        try:
            inference = _open(path, options, [(CUDA, {"device_id": str(number), **CUDA_OPTIONS})])
        except ORT_ERRORS as error:
            return None, _reason(str(error))
        if inference.get_providers()[0] == CUDA:
            return inference, ""
        return None, _reason(output())


def _load_on_cpu(path: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    try:
        return _open(path, options, [CPU])
    except ORT_ERRORS as error:
        raise ModelError(
            f"{path} is not an ONNX file that runs here: {_reason(str(error))}. "
            "Delete it and make it again with: bodystream export"
        ) from error


def _open(path: Path, options: ort.SessionOptions, providers: list[Any]) -> ort.InferenceSession:
    return ort.InferenceSession(path, options, providers=providers, enable_fallback=0)


@contextmanager
def _captured_output() -> Iterator[Callable[[], str]]:
    """Keep what ONNX Runtime writes to descriptor 2 and to sys.stdout: it gives its reasons nowhere else."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as file, redirect_stdout(io.StringIO()):
        os.dup2(file.fileno(), 2)

        def text() -> str:
            file.seek(0)
            return file.read().decode(errors="replace")

        try:
            yield text
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _reason(text: str) -> str:
    """The telling part of ONNX Runtime's words, on one line."""
    text = re.sub(r"\x1b\[[\d;]*m", "", text)  # colours
    if missing := re.search(
        r"with error: (.+)", text
    ):  # "libcublasLt.so.13: cannot open shared object file: ..."
        return missing[1].strip()
    last = re.split(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", text)[-1]
    return " ".join(last.split())[:300].rstrip(".") or "no reason was given"
