"""What a file of weights holds and which system of the R-CNN family it fits, as plain data."""

from pathlib import Path
from typing import Any

from bodystream.models.weights.networks import examine


def inspected(path: Path, system: str | None = None) -> dict[str, Any]:
    """The account of a file against a system, or against the nearest one; what JSON can hold.

    `tensors` are shapes by the file's names, `system` is None where the file is like none that is known, and
    then the lists are empty. Raises WeightsMissing, WeightsCorrupt, UsageError for a system that is not known.
    """
    found = examine(path, system)
    content, report = found.checkpoint, found.report
    return {
        "format": content.format,
        "layout": found.layout,
        "tensors": {name: list(tensor.shape) for name, tensor in content.tensors.items()},
        "numbers": sum(tensor.numel() for tensor in content.tensors.values()),
        "metadata": dict(content.metadata),
        "others": list(content.others),
        "system": found.system,
        "fits": found.fits,
        "matched": list(report.matched) if report else [],
        "ignored": [f"{name}: {reason}" for name, reason in report.ignored] if report else [],
        "missing": list(report.missing) if report else [],
        "unexpected": list(report.unexpected) if report else [],
        "of another shape": [str(each) for each in report.misfits] if report else [],
    }
