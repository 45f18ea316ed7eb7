"""What the terminal shows of a run: a live table, plain lines where there is no terminal, and the summary."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # these bring numpy, and --help must answer at once
    from bodystream.pipeline.types import End, Header, Result, Row

REFRESH_NS = 100_000_000  # ten times a second: what an eye can follow
PLAIN_NS = 5_000_000_000  # a log file wants fewer
BAR_CELLS = 30
DEFAULT_FPS = 30  # of sources that state no rate
# Time that passes rather than work that could be made faster: not held against the budget.
WAITING = frozenset({"capture", "wait", "end to end"})


class LiveView:
    """Shows a run while it goes on; call it with every result, inside its `with`.

    `rows` gives the latency book's rows, `fps` a smoothed rate (None: not known yet), and `counts` what went
    wrong in the source so far, by cause ("decode errors", "reconnects"). On a terminal a table is redrawn at
    most ten times a second; elsewhere a plain line is printed every five seconds.
    """

    def __init__(
        self,
        console: Console,
        header: "Header",
        rows: Callable[[], Sequence["Row"]],
        fps: Callable[["Result"], float | None],
        *,
        counts: Callable[[], Mapping[str, int]] = dict,
        target_fps: float | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._console, self._header, self._rows, self._fps = console, header, rows, fps
        self._counts, self._clock = counts, clock
        self._budget_ms = budget_ms(target_fps, header)
        self._frames = self._dropped = 0
        self._due_ns: int | None = None
        # JSON lines may be going to stdout: rich must not catch them.
        self._live = (
            Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        else:
            for line in _setting_lines(self._header):
                _say(self._console, line)
        return self

    def __exit__(self, *failure: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, result: "Result") -> None:
        """Take note of `result`, and show the run anew where that is due."""
        self._frames += 1
        self._dropped += result.dropped_before
        fps = self._fps(result)
        now_ns = self._clock()
        every_ns = PLAIN_NS if self._live is None else REFRESH_NS
        if self._due_ns is None:
            self._due_ns = now_ns if self._live is not None else now_ns + every_ns
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + every_ns
        status = self._status(result, fps)
        if self._live is None:
            work = [f"{row.stage} {row.p50_ms:.1f} ms" for row in self._rows() if row.stage not in WAITING]
            _say(self._console, " · ".join([status, *work]))
        else:
            self._live.update(self._table(status), refresh=True)

    def _status(self, result: "Result", fps: float | None) -> str:
        total = self._header.source.length
        done = f"frame {self._frames}" if total is None else f"frame {self._frames} of {total}"
        rate = [] if fps is None or missing_facts(self._header) else [f"{fps:.1f} fps"]
        counts = {"dropped": self._dropped, **self._counts()}
        troubles = [f"{count} {cause}" for cause, count in counts.items() if count]
        return " · ".join([done, *rate, _people(len(result.people)), *troubles])

    def _table(self, status: str) -> RenderableType:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("step", no_wrap=True)
        table.add_column(f"p50 and p95 of {self._budget_ms:.1f} ms", no_wrap=True, min_width=BAR_CELLS)
        table.add_column("p50", justify="right", no_wrap=True)
        table.add_column("p95", justify="right", no_wrap=True)
        for row in self._rows():
            table.add_row(row.stage, self._bar(row), f"{row.p50_ms:.1f}", f"{row.p95_ms:.1f} ms")
        settings = (Text(line, style="dim") for line in _setting_lines(self._header))
        return Group(Text(status, style="bold"), table, *settings)

    def _bar(self, row: "Row") -> Text:
        full, light, free = ("#", "-", ".") if self._console.options.ascii_only else ("█", "░", "·")
        p50, p95 = (round(BAR_CELLS * min(1.0, ms / self._budget_ms)) for ms in (row.p50_ms, row.p95_ms))
        colour = "blue" if row.stage in WAITING else "red" if row.p95_ms > self._budget_ms else "green"
        return Text.assemble((full * p50 + light * (p95 - p50), colour), (free * (BAR_CELLS - p95), "dim"))


def summary_table(end: "End", header: "Header") -> RenderableType:
    """Lay out a finished run: a row a step, then the frame rate with the facts without which it says nothing.

    Where one of the facts is not known the frame rate is left out, and the line says which is missing.
    """
    budget = budget_ms(end.target_fps, header)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("ms", no_wrap=True)
    with_device = any(row.device_p50_ms is not None for row in end.rows)
    columns = ["count", "p50", "p95", "p99", "max", "queue p50", "queue p95"]
    for name in [*columns, *(["device p50"] if with_device else []), f"p95 of {budget:.1f} ms"]:
        table.add_column(name, justify="right", no_wrap=True)
    for row in end.rows:
        times = [row.p50_ms, row.p95_ms, row.p99_ms, row.max_ms, row.queue_p50_ms, row.queue_p95_ms]
        cells = [str(row.count), *(f"{ms:.1f}" for ms in times)]
        if with_device:
            cells.append("" if row.device_p50_ms is None else f"{row.device_p50_ms:.1f}")
        share = _share(row, budget)
        over = share is not None and share > 1
        cells.append("" if share is None else f"{share:.0%}")
        table.add_row(row.stage, *cells, style="red" if over else "")
    parts: list[RenderableType] = [table, Text()] if end.rows else []
    parts += [Text(line, style="dim") for line in _setting_lines(header)]
    return Group(*parts, Text(headline(end, header), style="bold"), *_remarks(end))


def headline(end: "End", header: "Header") -> str:
    """Give the one line that sums the run up; without a frame rate where a fact it needs is not known."""
    missing = missing_facts(header)
    if end.fps is None:
        rate = "no frame rate (it takes two frames)"
    elif missing:
        rate = f"frame rate withheld: {', '.join(missing)} not known"
    else:
        rate = f"{end.fps:.1f} fps"
    providers = dict.fromkeys(f"{model.provider} {model.precision}".strip() for model in header.models)
    policy = header.settings.get("policy")
    return " · ".join(
        [
            rate,
            *filter(None, providers),
            f"{header.source.width}×{header.source.height}",
            f"{end.people_mean:.1f} people a frame",
            *([f"policy {policy}"] if policy else []),
            f"{end.frames} frame{'' if end.frames == 1 else 's'}",
            _drops(end),
        ]
    )


def missing_facts(header: "Header") -> tuple[str, ...]:
    """Name what a frame rate says nothing without and `header` does not hold; empty where it is complete."""
    models = header.models
    known = {
        "provider": bool(models) and all(model.provider for model in models),
        "precision": bool(models) and all(model.precision for model in models),
        "input size": bool(models) and all(model.input for model in models) and header.source.width > 0,
        "policy": bool(header.settings.get("policy")),
    }
    return tuple(name for name, is_known in known.items() if not is_known)


def summary_json(end: "End", header: "Header") -> dict[str, Any]:
    """Give the summary as plain data for `--json`; "fps" is None where `missing_facts` names any."""
    budget = budget_ms(end.target_fps, header)
    source, missing = header.source, missing_facts(header)
    return {
        "source": {
            "name": source.name,
            "width": source.width,
            "height": source.height,
            "rate": None if source.rate is None else str(source.rate),
            "live": source.live,
        },
        "models": [
            {
                "stage": model.stage,
                "name": model.name,
                "sha256": model.sha256,
                "provider": model.provider,
                "precision": model.precision,
                "input": list(model.input),
            }
            for model in header.models
        ],
        "policy": None if header.settings.get("policy") is None else str(header.settings["policy"]),
        "frames": end.frames,
        "dropped": dict(end.dropped),
        "counts": dict(end.counts),
        "failed": end.failed,
        "people_mean": end.people_mean,
        "fps": None if missing else end.fps,
        "missing_facts": list(missing),
        "target_fps": end.target_fps,
        "met": end.met,
        "budget_ms": budget,
        "stages": {row.stage: _row_json(row, budget) for row in end.rows},
    }


def budget_ms(target_fps: float | None, header: "Header") -> float:
    """Time for one frame, ms: of the target, else of the source's own rate, else of 30 frames a second."""
    return 1000 / float(target_fps or header.source.rate or DEFAULT_FPS)


def _row_json(row: "Row", budget: float) -> dict[str, Any]:
    return {
        "count": row.count,
        "p50_ms": row.p50_ms,
        "p95_ms": row.p95_ms,
        "p99_ms": row.p99_ms,
        "max_ms": row.max_ms,
        "queue_p50_ms": row.queue_p50_ms,
        "queue_p95_ms": row.queue_p95_ms,
        "device_p50_ms": row.device_p50_ms,
        "p95_share_of_budget": _share(row, budget),
    }


def _share(row: "Row", budget: float) -> float | None:
    return None if row.stage in WAITING else row.p95_ms / budget


def _setting_lines(header: "Header") -> list[str]:
    """What a frame rate depends on: a line on the source and the policy, and one a net."""
    source = f"source: {header.source.name}, {header.source.width}×{header.source.height}"
    policy = header.settings.get("policy")
    lines = [f"{source}, policy {policy}" if policy else source]
    for model in header.models:
        size = "×".join(map(str, model.input))
        lines.append(f"{model.stage}: {model.name}, {model.provider}, {model.precision}, input {size}")
    return lines


def _remarks(end: "End") -> list[Text]:
    lines = []
    if end.target_fps is not None:
        verdict = {True: ("met", "green"), False: ("missed", "red"), None: ("not measured", "yellow")}[
            end.met
        ]
        lines.append(Text(f"target {end.target_fps:g} fps: {verdict[0]}", style=verdict[1]))
    lines += [Text(f"{count} {cause}", style="yellow") for cause, count in end.counts.items() if count]
    if end.failed:
        lines.append(Text(f"failed: {end.failed}", style="red"))
    return lines


def _drops(end: "End") -> str:
    causes = [f"{count} {cause}" for cause, count in end.dropped.items() if count]
    return f"dropped: {', '.join(causes)}" if causes else "none dropped"


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
