"""The proof that an ONNX file does what its torch module does: names, then shapes, then values."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bodystream.errors import ExportFailed
from bodystream.export.to_onnx import Exportable
from bodystream.models.runtime import Session, open_session


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was compared; as text, a line with ✓ or ✗."""

    step: str  # "names", "shapes", "values"
    what: str
    ok: bool
    detail: str

    def __str__(self) -> str:
        return f"{'✓' if self.ok else '✗'} {self.step}: {self.what}: {self.detail}"


def check(path: Path, network: Exportable, batches: Sequence[int]) -> tuple[Finding, ...]:
    """Compare the file, run by onnxruntime on the CPU, with the module at each of the batch sizes.

    Returns all findings, all of them good. Raises ExportFailed, which tells every bad one; values are only
    compared where names and shapes agree.
    """
    session = open_session(path, device="cpu")
    findings = [_names(session, network)]
    if findings[0].ok:
        for batch in batches:
            findings += _shapes_and_values(session, network, batch)
    if bad := [finding for finding in findings if not finding.ok]:
        raise ExportFailed(
            f"{session.name}: the ONNX file does not agree with torch, and was not kept: "
            + "; ".join(map(str, bad))
        )
    return tuple(findings)


def _names(session: Session, network: Exportable) -> Finding:
    expected = tuple(network.tolerances)
    ok = session.outputs == expected
    return Finding(
        "names", "outputs", ok, ", ".join(session.outputs) + ("" if ok else f" instead of {expected}")
    )


def _shapes_and_values(session: Session, network: Exportable, batch: int) -> list[Finding]:
    inputs = network.example(batch)
    with torch.inference_mode():
        wanted = [output.numpy() for output in network.module(inputs)]
        ties = network.ties(inputs).numpy() if network.ties else None
    found = session(inputs.numpy())
    findings = []
    for (name, tolerance), want, have in zip(network.tolerances.items(), wanted, found, strict=True):
        what = f"{name} at batch {batch}"
        same = (have.shape, have.dtype) == (want.shape, want.dtype)
        expected = "" if same else f" instead of {want.dtype} {want.shape}"
        findings.append(Finding("shapes", what, same, f"{have.dtype} {have.shape}{expected}"))
        if same:
            off = furthest(have, want, ties)
            ok = off <= tolerance
            findings.append(Finding("values", what, ok, f"differ by {off:.2g}, {tolerance:.2g} allowed"))
    return findings


def furthest(have: NDArray[Any], want: NDArray[Any], ties: NDArray[np.bool_] | None = None) -> float:
    """The largest absolute difference of two arrays (N, ...); places in `ties`, see `Exportable`, do not count."""
    with np.errstate(invalid="ignore"):  # infinite less infinite: NaN, which is never within a tolerance
        off = np.abs(have.astype(np.float64) - want.astype(np.float64))
    if ties is not None:
        between = range(1, 1 + off.ndim - ties.ndim)  # axes of the output that the ties lack, as of U, V
        off = np.where(np.expand_dims(ties, tuple(between)), 0.0, off)
    return float(off.max(initial=0.0))
