import ast
import json
import sys
from collections.abc import Mapping
from fractions import Fraction
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bodystream.cli import live
from bodystream.cli.live import LiveView, budget_ms, headline, missing_facts, summary_json, summary_table
from bodystream.pipeline.types import End, Header, ModelInfo, Person, Result, Row, SourceInfo

MODELS = (
    ModelInfo("detect", "picodet-s", "aa", "CPUExecutionProvider", "fp32", (1, 3, 416, 416)),
    ModelInfo("segment", "blazepose-full", "bb", "CPUExecutionProvider", "fp32", ("N", 3, 256, 256)),
)
ROWS = (
    Row("wait", 100, 40.0, 60.0, 70.0, 80.0, 0.0, 0.0),
    Row("detect", 10, 10.0, 20.0, 25.0, 30.0, 1.25, 2.5),
    Row("encode", 100, 20.0, 50.0, 55.0, 60.0, 0.0, 0.0, 7.5),
)


def header(
    rate: Fraction | None = Fraction(25),
    length: int | None = 795,
    models: tuple[ModelInfo, ...] = MODELS,
    settings: Mapping[str, Any] | None = None,
) -> Header:
    source = SourceInfo("dance.mp4", 1280, 720, rate, False, length)
    return Header(source, models, {"policy": "every"} if settings is None else settings, ())


def end(**more: Any) -> End:
    known: dict[str, Any] = {
        "frames": 100,
        "dropped": {},
        "failed": None,
        "rows": ROWS,
        "fps": 28.41,
        "people_mean": 1.04,
    }
    return End(**known | more)


def text(shown: Any, width: int = 100) -> str:
    out = StringIO()
    Console(file=out, width=width, force_terminal=False).print(shown)
    return out.getvalue()


def result(index: int = 0, people: int = 1, dropped: int = 0) -> Result:
    return Result(index, Fraction(index, 25), (1280, 720), (Person(None, 0.9),) * people, (), dropped)  # type: ignore[arg-type]


class Hand:
    """A clock that is set by hand, in seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> int:
        return round(self.seconds * 1e9)


def view(out: Any, clock: Hand, *, terminal: bool, head: Header | None = None, **more: Any) -> LiveView:
    console = Console(file=out, width=100, height=40, force_terminal=terminal, color_system=None)
    return LiveView(console, head or header(), lambda: ROWS, lambda _: 28.4, clock=clock, **more)


@pytest.mark.parametrize(
    ("target", "rate", "expected"),
    [(50.0, Fraction(25), 20), (None, Fraction(25), 40), (None, None, 1000 / 30)],
)
def test_the_budget_is_that_of_the_target_then_of_the_source(
    target: float | None, rate: Fraction | None, expected: float
) -> None:
    assert budget_ms(target, header(rate)) == pytest.approx(expected)


def test_the_summary_has_every_figure() -> None:
    lines = text(summary_table(end(), header())).splitlines()
    columns = " ".join(lines[0].split())
    assert columns == "ms count p50 p95 p99 max queue p50 queue p95 device p50 p95 of 40.0 ms"
    assert lines[1].split() == [
        "wait",
        "100",
        "40.0",
        "60.0",
        "70.0",
        "80.0",
        "0.0",
        "0.0",
    ]  # no share: it is no work
    assert lines[2].split() == ["detect", "10", "10.0", "20.0", "25.0", "30.0", "1.2", "2.5", "50%"]
    assert lines[3].split() == ["encode", "100", "20.0", "50.0", "55.0", "60.0", "0.0", "0.0", "7.5", "125%"]


def test_no_device_column_without_device_times() -> None:
    assert "device" not in text(summary_table(end(rows=ROWS[:2]), header()))


def test_the_frame_rate_comes_with_its_facts() -> None:
    line = headline(end(dropped={"busy": 3, "late": 1}), header())
    for fact in (
        "28.4 fps",
        "CPUExecutionProvider fp32",
        "1280×720",
        "1.0 people a frame",
        "policy every",
        "100 frames",
    ):
        assert fact in line
    assert line.endswith("dropped: 3 busy, 1 late")
    assert headline(end(), header()).endswith("none dropped")
    shown = text(summary_table(end(), header()))
    assert "detect: picodet-s, CPUExecutionProvider, fp32, input 1×3×416×416" in shown


@pytest.mark.parametrize(
    ("head", "missing"),
    [
        (header(settings={}), "policy"),
        (header(models=()), "provider, precision, input size"),
        (header(models=(ModelInfo("detect", "x", "", "", "fp32", (1,)),)), "provider"),
        (header(models=(ModelInfo("detect", "x", "", "CPU", "", (1,)),)), "precision"),
        (header(models=(ModelInfo("detect", "x", "", "CPU", "fp32", ()),)), "input size"),
    ],
)
def test_without_a_fact_there_is_no_frame_rate(head: Header, missing: str) -> None:
    assert ", ".join(missing_facts(head)) == missing
    shown = text(summary_table(end(), head), width=200)
    assert "28.4" not in shown and "fps" not in shown
    assert f"frame rate withheld: {missing} not known" in shown
    data = summary_json(end(), head)
    assert data["fps"] is None and data["missing_facts"] == missing.split(", ")
    for terminal in (False, True):
        out, clock = StringIO(), Hand()
        with view(out, clock, terminal=terminal, head=head) as shown_live:
            shown_live(result())
            clock.seconds = 10
            shown_live(result(1))
        assert "frame 2" in out.getvalue() and "28.4" not in out.getvalue()


@pytest.mark.parametrize(("met", "word"), [(True, "met"), (False, "missed"), (None, "not measured")])
def test_the_verdict(met: bool | None, word: str) -> None:
    assert f"target 30 fps: {word}\n" in text(summary_table(end(target_fps=30.0, met=met), header()))
    assert "target" not in text(summary_table(end(), header()))


def test_failure_and_troubles_are_told() -> None:
    shown = text(
        summary_table(end(failed="disk full [/tmp]", counts={"decode errors": 2, "reconnects": 0}), header())
    )
    assert (
        "failed: disk full [/tmp]\n" in shown and "2 decode errors\n" in shown and "reconnects" not in shown
    )


def test_a_run_of_no_frames_has_a_summary() -> None:
    shown = text(summary_table(end(frames=0, rows=(), fps=None, people_mean=0.0), header()))
    assert "no frame rate" in shown and "0 frames" in shown
    assert "1 frame ·" in text(summary_table(end(frames=1, fps=None), header()))


def test_the_summary_for_machines() -> None:
    data = json.loads(
        json.dumps(
            summary_json(end(dropped={"busy": 3}, target_fps=30.0, met=False), header(Fraction(30000, 1001)))
        )
    )
    assert data["source"] == {
        "name": "dance.mp4",
        "width": 1280,
        "height": 720,
        "rate": "30000/1001",
        "live": False,
    }
    assert (
        data["models"][1]["input"] == ["N", 3, 256, 256]
        and data["models"][0]["provider"] == "CPUExecutionProvider"
    )
    assert (data["fps"], data["target_fps"], data["met"], data["policy"]) == (28.41, 30.0, False, "every")
    assert (data["frames"], data["dropped"], data["missing_facts"]) == (100, {"busy": 3}, [])
    assert data["budget_ms"] == pytest.approx(1000 / 30)
    assert data["stages"]["wait"]["p95_share_of_budget"] is None
    assert data["stages"]["detect"] == {
        "count": 10,
        "p50_ms": 10.0,
        "p95_ms": 20.0,
        "p99_ms": 25.0,
        "max_ms": 30.0,
        "queue_p50_ms": 1.25,
        "queue_p95_ms": 2.5,
        "device_p50_ms": None,
        "p95_share_of_budget": pytest.approx(0.6),
    }


def test_plain_lines_where_there_is_no_terminal() -> None:
    out, clock = StringIO(), Hand()
    with view(out, clock, terminal=False, counts=lambda: {"decode errors": 2, "reconnects": 0}) as shown:
        for i in range(120):  # 12 s at ten a second
            clock.seconds = i / 10
            shown(result(i, people=i % 2, dropped=i % 10 == 9))
    lines = out.getvalue().splitlines()
    assert "\x1b" not in out.getvalue()
    assert lines[:2] == [
        "source: dance.mp4, 1280×720, policy every",
        "detect: picodet-s, CPUExecutionProvider, fp32, input 1×3×416×416",
    ]
    assert len(lines) == 3 + 2
    status, steps = lines[3].split(" · detect ")
    assert status == "frame 51 of 795 · 28.4 fps · 0 people · 5 dropped · 2 decode errors"
    assert steps == "10.0 ms · encode 20.0 ms"  # and not what only waited
    assert lines[4].startswith("frame 101 of 795 · 28.4 fps · 0 people · 10 dropped")


def test_the_length_may_be_unknown_and_the_rate_not_yet_there() -> None:
    out, clock = StringIO(), Hand()
    console = Console(file=out, width=100, force_terminal=False)
    with LiveView(console, header(length=None), tuple, lambda _: None, clock=clock) as shown:
        shown(result())
        clock.seconds = 5
        shown(result(1))
    assert out.getvalue().splitlines()[-1] == "frame 2 · 1 person"


def test_a_terminal_gets_a_table_at_most_ten_times_a_second() -> None:
    out, clock = StringIO(), Hand()
    with view(out, clock, terminal=True) as shown:
        for i in range(200):  # 2 s at a hundred a second
            clock.seconds = i / 100
            shown(result(i))
    drawn = out.getvalue().count("p50 and p95 of 40.0 ms")
    assert 15 <= drawn <= 21
    assert "frame 191 of 795 · 28.4 fps · 1 person" in out.getvalue()
    assert "segment: blazepose-full, CPUExecutionProvider, fp32, input N×3×256×256" in out.getvalue()


def bars(out: Any) -> dict[str, str]:
    with view(out, Hand(), terminal=True) as shown:
        shown(result())
    out.seek(0)
    lines = [
        line.split()
        for line in out.read().splitlines()
        if line.split()[:1] and line.split()[0] in ("detect", "encode")
    ]
    return {words[0]: words[1] for words in lines}


def test_bars_measure_p50_and_p95_against_the_budget() -> None:
    found = bars(StringIO())
    # Of 40 ms in 30 cells: 10 ms are 7.5, 20 ms are 15, and 50 ms fill them all.
    assert found["detect"] == "█" * 8 + "░" * 7 + "·" * 15
    assert found["encode"] == "█" * 15 + "░" * 15


def test_bars_of_a_terminal_without_unicode() -> None:
    found = bars(TextIOWrapper(BytesIO(), encoding="ascii", errors="replace", write_through=True))
    assert found["detect"] == "#" * 8 + "-" * 7 + "." * 15


def test_stdout_is_left_to_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    with view(StringIO(), Hand(), terminal=True) as shown:
        shown(result())
        sys.stdout.write('{"type":"frame"}\n')
    assert capsys.readouterr().out == '{"type":"frame"}\n'


def test_a_failure_inside_passes_through_and_gives_the_terminal_back() -> None:
    out = StringIO()
    with pytest.raises(RuntimeError, match="camera"), view(out, Hand(), terminal=True) as shown:
        shown(result())
        raise RuntimeError("camera gone")
    assert out.getvalue().rfind("\x1b[?25h") > out.getvalue().rfind("\x1b[?25l")  # the cursor is shown again


def test_the_module_brings_nothing_heavy() -> None:
    tree = ast.parse(Path(live.__file__).read_text(encoding="utf-8"))
    names = [
        name.split(".")[0]
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        )
    ]
    assert set(names) == {"collections", "rich", "time", "typing"}
