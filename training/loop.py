"""Training: processes that learn side by side, checkpoints, a curve.

On the CPU one process a core makes its own samples and learns from them with one thread, and the gradients are
averaged at every step (`exchange`). On a GPU one process learns, and others make its samples.
"""

import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.multiprocessing import get_context

from bodystream.errors import DeviceUnavailable, OutputExists, TrainingFailed, UsageError
from bodystream.models.runtime import available_cores
from bodystream.training.checkpoint import Progress
from bodystream.training.exchange import Exchange
from bodystream.training.learner import CHECKPOINT, Learner, Listener, Settings, Work, running_of
from bodystream.training.processes import end_with_parent, start_deaf
from bodystream.training.source import Source
from bodystream.training.task import Task

JOIN_S = 10.0  # a process that has not left by then is ended


def train(
    task: Task[Any],
    source: Source,
    held_out: Source,
    folder: Path,
    settings: Settings,
    *,
    resume: bool = False,
    listener: Listener | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Progress:
    """Train, and leave in `folder` the weights, a checkpoint and the curve; returns how far it came.

    `resume` goes on from the folder's checkpoint; the outcome is that of a run that was not interrupted.
    Raises UsageError, OutputExists where a run would be written over, TrainingFailed, and what
    `load_checkpoint` raises.
    """
    if settings.batch % settings.processes:
        raise UsageError(f"a batch of {settings.batch} cannot be shared by {settings.processes} processes")
    if not resume and (folder / CHECKPOINT).exists():
        raise OutputExists(f"{folder} holds a training run; add --resume to go on, or name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    context: Any = get_context("spawn")
    net = task.make()
    weights = sum(each.numel() for each in [*net.parameters(), *running_of(net)])
    told = len(task.losses) + 1
    exchange = Exchange(settings.processes, max(weights + told, task.counts), context)
    work = Work(task, source, held_out, folder, settings, exchange, resume)
    words: Any = context.SimpleQueue()
    others = [
        context.Process(target=_beside, args=(rank, work, words), daemon=True)
        for rank in range(1, settings.processes)
    ]
    start_deaf(others)
    try:
        return Learner(0, work, listener or Listener(), clock).run()
    except TrainingFailed as error:
        if words.empty():
            raise
        raise TrainingFailed(f"a process of the training failed: {words.get()}") from error
    finally:
        exchange.leave()
        for each in others:
            each.join(JOIN_S)
            each.terminate()


class Hardware(NamedTuple):
    """The last fields of `Settings`, in order."""

    processes: int
    workers: int
    device: str
    bf16: bool


def hardware(device: str, cores: int | None) -> Hardware:
    """How to train on "auto", "cpu" or "cuda", with so many cores, all if None.

    Raises UsageError for another device, DeviceUnavailable for a GPU that is not there.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device}: expected auto, cpu or cuda")
    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise DeviceUnavailable(
            "--device cuda: torch finds no GPU here: it needs torch's CUDA build and a driver"
        )
    cores = cores or available_cores()
    if there and device != "cpu":
        return Hardware(1, cores, "cuda", torch.cuda.is_bf16_supported(including_emulation=False))
    # Without these instructions bfloat16 is emulated, at a multiple of the time.
    return Hardware(cores, 0, "cpu", torch.cpu._is_avx512_bf16_supported())


def _beside(rank: int, work: Work, words: Any) -> None:
    """A process beside the first one; what it fails of goes into `words`."""
    end_with_parent()
    try:
        Learner(rank, work, Listener()).run()
    except Exception as error:  # noqa: BLE001 - the first process tells, whatever it is
        if not isinstance(error, TrainingFailed):
            words.put(traceback.format_exception_only(error)[-1].strip())
        work.exchange.leave()
