"""The proof that an ONNX file does what its torch module does: its graph, names, then shapes, then values."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from bodystream.errors import ExportFailed
from bodystream.export.to_onnx import Exportable
from bodystream.models.runtime import Session, open_session

# Operations that give a file branches, loops, or shapes that the values decide: CUDA graphs cannot hold them.
FORBIDDEN = ("If", "Loop", "Scan", "NonZero", "NonMaxSuppression")
ROUNDS = 2  # of the last of the sizes, of which the quicker counts


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was compared; as text, a line with ✓ or ✗."""

    step: str  # "graph", "names", "shapes", "values"
    what: str
    ok: bool
    detail: str

    def __str__(self) -> str:
        return f"{'✓' if self.ok else '✗'} {self.step}: {self.what}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found out about a file, all of it good.

    `differences` holds the largest of each output at any size; `session_ms` and `torch_ms` are the CPU time of a run
    at the last of the sizes, with one thread each.
    """

    findings: tuple[Finding, ...]
    nodes: int
    forbidden: int
    differences: Mapping[str, float]
    session_ms: float
    torch_ms: float


def check(path: Path, network: Exportable, batches: Sequence[int]) -> Checked:
    """Compare the file, run by onnxruntime on the CPU, with the module at each of the batch sizes.

    Raises ExportFailed, which tells everything bad; values are only compared where names and shapes agree.
    """
    session = open_session(path, device="cpu", threads=1)
    operations = operations_of(path)
    forbidden = {name: operations[name] for name in FORBIDDEN if operations[name]}
    what = f"{operations.total()} nodes"
    detail = ", ".join(f"{count} {name}" for name, count in forbidden.items()) or "none of " + ", ".join(
        FORBIDDEN
    )
    findings = [Finding("graph", what, not forbidden, detail), _names(session, network)]
    differences: dict[str, float] = {}
    times = (0.0, 0.0)
    if findings[-1].ok:
        with one_thread():
            for batch in batches:
                compared = _compare(session, network, batch, ROUNDS if batch == batches[-1] else 1)
                findings += compared.findings
                differences |= {
                    name: max(off, differences.get(name, 0.0)) for name, off in compared.differences.items()
                }
                times = compared.times
    raise_if_bad(session.name, findings)
    return Checked(tuple(findings), operations.total(), sum(forbidden.values()), differences, *times)


def raise_if_bad(name: str, findings: Sequence[Finding]) -> None:
    """Raise ExportFailed, which tells every bad finding."""
    if bad := [finding for finding in findings if not finding.ok]:
        raise ExportFailed(
            f"{name}: the ONNX file does not agree with torch, and was not kept: " + "; ".join(map(str, bad))
        )


def operations_of(path: Path) -> Counter[str]:
    """How often each operation occurs in a file, in the graphs inside its nodes too."""
    found: Counter[str] = Counter()
    model = onnx.load(path)
    graphs = [model.graph, *model.functions]
    while graphs:
        for node in graphs.pop().node:
            found[node.op_type] += 1
            graphs += [each.g for each in node.attribute if each.type == onnx.AttributeProto.GRAPH]
    return found


def _names(session: Session, network: Exportable) -> Finding:
    expected = tuple(network.tolerances)
    ok = session.outputs == expected
    return Finding(
        "names", "outputs", ok, ", ".join(session.outputs) + ("" if ok else f" instead of {expected}")
    )


@dataclass(frozen=True, slots=True)
class _Compared:
    findings: list[Finding]
    differences: dict[str, float]
    times: tuple[float, float]


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread: as the file's session, and no waiting for each other where others want the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _compare(session: Session, network: Exportable, batch: int, rounds: int) -> _Compared:
    """Shapes and values at one size, and how long either takes, ms."""
    inputs = network.example(batch)
    arrays = {name: tensor.numpy() for name, tensor in inputs.items()}
    reference = (network.reference or network.module).eval()
    with torch.inference_mode():
        outputs, torch_ms = _timed(lambda: reference(*inputs.values()), rounds)
        ties = network.ties(*inputs.values()) if network.ties else {}
    values, session_ms = _timed(lambda: session.run(arrays), rounds)
    findings, differences = [], {}
    for (name, tolerance), output in zip(network.tolerances.items(), outputs, strict=True):
        want, have = output.numpy(), values[name].numpy()
        what = f"{name} at batch {batch}"
        same = (have.shape, have.dtype) == (want.shape, want.dtype)
        expected = "" if same else f" instead of {want.dtype} {want.shape}"
        findings.append(Finding("shapes", what, same, f"{have.dtype} {have.shape}{expected}"))
        if same:
            off = furthest(have, want, ties[name].numpy() if name in ties else None)
            size = max(1.0, float(np.abs(want).max(initial=0))) if name in network.growing else 1.0
            ok = off <= tolerance * size
            findings.append(
                Finding("values", what, ok, f"differ by {off:.2g}, {tolerance * size:.2g} allowed")
            )
            differences[name] = off
    return _Compared(findings, differences, (session_ms, torch_ms))


def _timed(run: Callable[[], Any], rounds: int) -> tuple[Any, float]:
    """What it gives, and the CPU ms of the quickest of its runs."""
    took = []
    for _ in range(rounds):
        before = time.process_time()
        found = run()
        took.append(1000 * (time.process_time() - before))
    return found, min(took)


def furthest(have: NDArray[Any], want: NDArray[Any], ties: NDArray[np.bool_] | None = None) -> float:
    """The largest absolute difference of two arrays (N, ...); places in `ties`, see `Exportable`, do not count."""
    with np.errstate(invalid="ignore"):  # infinite less infinite: NaN, which is never within a tolerance
        off = np.abs(have.astype(np.float64) - want.astype(np.float64))
    if ties is not None:
        between = range(1, 1 + off.ndim - ties.ndim)  # axes of the output that the ties lack, as of U, V
        off = np.where(np.expand_dims(ties, tuple(between)), 0.0, off)
    return float(off.max(initial=0.0))
