"""One process of a training run: its net, its samples, its steps."""

import copy
import math
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import orjson
import torch
from torch import Tensor, nn

from bodystream.errors import TrainingFailed
from bodystream.training.checkpoint import (
    Optimiser,
    Progress,
    load_checkpoint,
    save_checkpoint,
    save_weights,
)
from bodystream.training.exchange import Exchange
from bodystream.training.source import Source, loaded, seed_of, stream
from bodystream.training.task import Task

CHECKPOINT, CURVE = "checkpoint.safetensors", "curve.jsonl"
CHECKPOINT_EVERY_S = 180.0

MOMENTUM = 0.9  # of SGD: Krizhevsky et al. 2012, section 5, and every R-CNN since

HELD_OUT_SEED = 1 << 32  # no run is made of it: `seed_of` gives 32 bits
HELD_OUT_BATCH = 16


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run trains. At `samples` the rate of learning has come down to nothing."""

    samples: int = 2_000_000
    batch: int = 64  # over all processes
    lr: float = 2.5e-3  # at its peak
    seed: int = 0
    minutes: float | None = None  # stop after, at the latest
    validate_every: int = 25_000  # samples
    held_out: int = 512  # samples
    processes: int = 1  # that learn
    workers: int = 0  # processes that only make samples; 0: those that learn make their own
    device: str = "cpu"
    bf16: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """A line of the curve: losses are means since the line before, None on the first; figures are the task's."""

    samples: int
    losses: Mapping[str, float | None]
    figures: Mapping[str, float]
    lr: float
    samples_per_s: float | None
    wall_s: float

    def line(self) -> dict[str, float | None]:
        """The same as one table of numbers by name."""
        last = {"lr": self.lr, "samples_per_s": self.samples_per_s, "wall_s": self.wall_s}
        return {"samples": self.samples, **self.losses, **self.figures, **last}


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told and asked: `step` (samples so far, loss), `line` of the curve, `interrupted`: stop now?"""

    step: Callable[[int, float], None] = lambda _samples, _loss: None
    line: Callable[[Report], None] = lambda _report: None
    interrupted: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Work:
    """What all processes of a run are given."""

    task: Task[Any]
    source: Source
    held_out: Source
    folder: Path
    settings: Settings
    exchange: Exchange
    resume: bool


class Learner:
    """Learns as process `rank`. Process 0 alone writes, reports and listens."""

    def __init__(
        self, rank: int, work: Work, listener: Listener, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rank, self._work, self._task, self._settings = rank, work, work.task, work.settings
        self._listener, self._clock = listener, clock
        if work.settings.processes > 1:  # a core each
            torch.set_num_threads(1)
            cv2.setNumThreads(1)
        self._device = torch.device(work.settings.device)
        torch.manual_seed(work.settings.seed)
        self._net: nn.Module = self._task.make().to(self._device)
        self._net.to(memory_format=torch.channels_last)
        self._ema = copy.deepcopy(self._net).requires_grad_(False)
        self._optimiser = optimiser_of(self._net, self._task.weight_decay, self._task.optimiser)
        self._progress = Progress(seed=work.settings.seed)
        if work.resume:
            path = work.folder / CHECKPOINT
            self._progress = load_checkpoint(path, self._task.name, self._net, self._ema, self._optimiser)
        batches = work.held_out.batches(HELD_OUT_SEED, 0, HELD_OUT_BATCH)
        count = -(-work.settings.held_out // HELD_OUT_BATCH)
        self._held_out = list(islice(batches, rank, count, work.settings.processes))

    def run(self) -> Progress:
        """Learn until all samples are seen, the time is up or somebody interrupts; leave the results."""
        started = saved = lined = self._clock()
        before, sums, stop = self._progress.wall_s, self._no_sums(), False
        if self._progress.step == 0:
            self._line(sums, 0.0)
        with closing(self._batches()) as batches:
            while not stop and self._progress.samples < self._settings.samples:
                lines = self._progress.samples // self._settings.validate_every
                step, stop = self._step(next(batches), self._is_over(started))
                sums += step
                now = self._clock()
                self._progress = replace(self._progress, wall_s=before + now - started)
                if self._progress.samples // self._settings.validate_every > lines:
                    self._line(sums, now - lined)
                    lined, sums = self._clock(), self._no_sums()
                if now - saved > CHECKPOINT_EVERY_S:
                    self._save()
                    saved = now
        if sums[-1]:
            self._line(sums, self._clock() - lined)
        self._save()
        return self._progress

    def _no_sums(self) -> Tensor:
        return torch.zeros(len(self._task.losses) + 1)

    def _batches(self) -> Generator[tuple[Tensor, ...], None, None]:
        at, each = self._progress, self._settings.batch // self._settings.processes
        source, workers = self._work.source, self._settings.workers
        if workers:
            yield from loaded(source, at.seed, each, at.step, workers)
        for batch in stream(source, at.seed, self._rank, each, at.step):
            yield tuple(map(torch.from_numpy, batch))

    def _is_over(self, started: float) -> bool:
        """Whether this step is to be the last one: only the first process knows."""
        if self._rank:
            return False
        minutes = self._settings.minutes
        return self._listener.interrupted() or (
            minutes is not None and self._clock() - started >= 60 * minutes
        )

    def _step(self, batch: tuple[Tensor, ...], last: bool) -> tuple[Tensor, bool]:
        """Learn from a batch, together with the other processes.

        Returns sums over the samples, float32 (K + 1,): the losses, 1; and whether it was the last one.
        """
        losses = self._learn(batch)
        told = torch.tensor([*losses.tolist(), float(last)])  # (K + 1,)
        shared = [*self._gradients(), *running_of(self._net)]
        own = torch.cat([*(each.flatten().cpu() for each in shared), told])
        mean = self._work.exchange.sum(self._rank, own) / self._settings.processes
        told = mean[-len(told) :]
        if not torch.isfinite(told[0]):
            raise TrainingFailed(
                f"the loss is {told[0]:g} after {self._progress.samples} samples; "
                "go on from the last checkpoint with --resume and a lower --lr"
            )
        done = 0
        for each in shared:
            each.copy_(mean[done : done + each.numel()].view_as(each))
            done += each.numel()
        self._descend()
        samples = self._progress.samples + self._settings.batch
        self._progress = replace(self._progress, samples=samples, step=self._progress.step + 1)
        self._listener.step(samples, float(told[0]))
        return torch.cat([told[:-1], torch.ones(1)]) * self._settings.batch, bool(told[-1] > 0)

    def _gradients(self) -> list[Tensor]:
        """Of all parameters: zeros for those that nothing in this process' batch has asked for."""
        for each in self._net.parameters():
            if each.grad is None and each.requires_grad:
                each.grad = torch.zeros_like(each)
        return [each.grad for each in self._net.parameters() if each.grad is not None]

    def _learn(self, batch: tuple[Tensor, ...]) -> Tensor:
        there = tuple(each.to(self._device, non_blocking=True) for each in batch)
        draw = torch.Generator().manual_seed(seed_of(self._progress.seed, self._rank, self._progress.step))
        self._optimiser.zero_grad()
        losses = self._task.loss(self._net, there, draw, self._settings.bf16)
        losses[0].backward()  # type: ignore[no-untyped-call]
        return losses.detach()

    def _descend(self) -> None:
        rate = rate_at(self._progress.samples, self._settings, self._task.warm_up)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        nn.utils.clip_grad_norm_(self._net.parameters(), self._task.clip)
        self._optimiser.step()
        step = self._progress.step
        keep = min(self._task.ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self._ema.parameters()), list(self._net.parameters()), 1 - keep)
        for mean, own in zip(self._ema.buffers(), self._net.buffers(), strict=True):
            mean.copy_(own)  # running means are means over steps already

    def _line(self, sums: Tensor, took_s: float) -> None:
        """Look at the held-out samples, all processes at their own, and add a line to the curve."""
        mine = self._task.counted(self._ema, self._held_out, self._device)
        figures = self._task.figures(self._work.exchange.sum(self._rank, mine))
        if self._rank:
            return
        samples = float(sums[-1])
        means = [float(each) / samples if samples else None for each in sums[:-1]]
        report = Report(
            self._progress.samples,
            dict(zip(self._task.losses, means, strict=True)),
            figures,
            lr=rate_at(self._progress.samples, self._settings, self._task.warm_up),
            samples_per_s=samples / took_s if took_s else None,
            wall_s=self._progress.wall_s,
        )
        with (self._work.folder / CURVE).open("ab") as file:
            file.write(orjson.dumps(report.line(), option=orjson.OPT_APPEND_NEWLINE))
        self._listener.line(report)

    def _save(self) -> None:
        if self._rank == 0:
            folder = self._work.folder
            save_checkpoint(folder / CHECKPOINT, self._progress, self._net, self._ema, self._optimiser)
            tensors = self._task.weights(self._ema)
            save_weights(folder / self._task.file, tensors, self._progress, self._task.metadata)


def running_of(net: nn.Module) -> list[Tensor]:
    """Running means and variances of batch norms, which each process has of its own samples."""
    norms = [each for each in net.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    return [own for each in norms for own in (each.running_mean, each.running_var) if own is not None]


def optimiser_of(net: nn.Module, weight_decay: float, kind: str = "adamw") -> Optimiser:
    """AdamW (Loshchilov and Hutter, 2019, arXiv:1711.05101), or SGD with momentum.

    Only matrices and convolutions' weights decay.
    """
    weights = [each for each in net.parameters() if each.dim() > 1]
    others = [each for each in net.parameters() if each.dim() <= 1]
    groups = [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    if kind == "sgd":
        return torch.optim.SGD(groups, momentum=MOMENTUM, foreach=True)
    return torch.optim.AdamW(groups, foreach=True)


def rate_at(samples: int, settings: Settings, warm_up: int) -> float:
    """Rate of learning: up in a line over `warm_up` samples, and down along half a cosine to nothing."""
    rise = min(1.0, (samples + settings.batch) / min(warm_up, settings.samples / 10))
    return settings.lr * rise * 0.5 * (1 + math.cos(math.pi * min(samples / settings.samples, 1.0)))
