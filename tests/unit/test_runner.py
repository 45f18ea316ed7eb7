"""The runner under everything that can go wrong; pytest's timeout is the watchdog against hangs."""

import threading

import pytest

from bodystream.errors import OutputFailed, StageFailed, StreamLost, UsageError
from bodystream.pipeline.chain import Chain
from bodystream.pipeline.handoff import Policy
from bodystream.pipeline.runner import Run, Wiring
from bodystream.pipeline.types import Header
from tests.fakes import Clock, FakeSource, FakeStage, ListSink, frame, person


def run(source, sinks=(), stages=None, views=(), observe=lambda _result: None, **wiring):
    clock = Clock()
    chain = Chain(stages or [FakeStage()], clock)
    header = Header(source.info, chain.models, {}, ("nose",))
    return Run(header, source, chain, sinks, Wiring(clock, **wiring), views)(observe)


def test_every_frame_reaches_every_sink_in_order():
    sinks = [ListSink(), ListSink()]
    end = run(FakeSource([frame(i) for i in range(20)]), sinks)
    for sink in sinks:
        assert [result.index for result in sink.results] == list(range(20))
        assert sink.calls == ["open", "close"]
        assert sink.end is end
    assert (end.frames, end.dropped, end.failed) == (20, {}, None)
    rows = {row.stage: row for row in end.rows}
    assert rows["fake"].count == 20
    assert rows["write"].count == 40
    assert rows["end to end"].count == 20
    assert end.fps is not None and end.fps > 0


def test_no_frames_at_all():
    sink = ListSink()
    end = run(FakeSource([]), [sink])
    assert (end.frames, end.fps, end.people_mean) == (0, None, 0.0)
    assert sink.calls == ["open", "close"]


def test_people_of_one_frame_come_into_the_next():
    seen = []

    def work(_frame, people):
        seen.append(len(people))
        return [*people, person()]

    end = run(FakeSource([frame(i) for i in range(4)]), stages=[FakeStage(work)])
    assert seen == [0, 1, 2, 3]
    assert end.people_mean == 2.5


def test_a_source_that_fails_ends_the_run_after_its_frames():
    sink = ListSink()
    with pytest.raises(StreamLost, match="went away"):
        run(FakeSource([frame(0), frame(1)], StreamLost("went away")), [sink])
    assert [result.index for result in sink.results] == [0, 1]
    assert sink.calls == ["open", "close"]
    assert sink.end is not None and sink.end.failed == "went away"


def test_a_stage_that_raises_is_named_and_the_sinks_are_closed():
    def work(item, people):
        if item.index == 3:
            raise ZeroDivisionError("oops")
        return people

    sink = ListSink()
    with pytest.raises(StageFailed, match=r"stage fake failed at frame 3 \(ZeroDivisionError: oops\)"):
        run(FakeSource([frame(i) for i in range(10)]), [sink], [FakeStage(work)])
    assert [result.index for result in sink.results] == [0, 1, 2]
    assert sink.calls == ["open", "close"]


def test_a_sink_that_raises_stops_an_endless_source_and_the_others_still_close():
    broken, whole = ListSink(fails_at=1), ListSink()
    source = FakeSource([frame(i) for i in range(3)], endless=True)
    with pytest.raises(OutputFailed, match="ListSink failed"):
        run(source, [broken, whole])
    assert broken.calls == whole.calls == ["open", "close"]
    assert source.closed.is_set()


def test_a_sink_that_cannot_open_writes_nothing_and_the_opened_ones_close():
    first, second, third = ListSink(), ListSink(fails_to_open=True), ListSink()
    with pytest.raises(OSError, match="cannot open"):
        run(FakeSource([frame()]), [first, second, third])
    assert first.calls == second.calls == ["open", "close"]
    assert third.calls == []
    assert not first.results


def test_a_sink_that_cannot_close_is_told_and_the_others_close():
    first, second = ListSink(fails_to_close=True), ListSink()
    with pytest.raises(OSError, match="cannot close"):
        run(FakeSource([frame()]), [first, second])
    assert second.calls == ["open", "close"]


def test_stop_ends_the_run_as_if_the_source_had():
    stop = threading.Event()
    sink = ListSink()

    def observe(result):
        if result.index == 2:
            stop.set()

    end = run(FakeSource([frame(i) for i in range(1000)]), [sink], observe=observe, stop=stop)
    assert 3 <= end.frames < 10
    assert len(sink.results) == end.frames
    assert sink.calls == ["open", "close"]


def test_keyboard_interrupt_finishes_the_files():
    def observe(result):
        if result.index == 2:
            raise KeyboardInterrupt

    sink = ListSink()
    with pytest.raises(KeyboardInterrupt):
        run(FakeSource([frame(i) for i in range(1000)]), [sink], observe=observe)
    assert len(sink.results) == 3
    assert sink.calls == ["open", "close"]


def test_views_are_called_from_the_callers_thread():
    threads = []

    class View(ListSink):
        def write(self, item, result):
            threads.append(threading.current_thread())
            return super().write(item, result)

    run(FakeSource([frame(i) for i in range(3)]), views=[View()])
    assert threads == [threading.current_thread()] * 3


def test_drops_of_a_live_source_are_counted_and_told_in_the_results():
    gate = threading.Event()
    source = FakeSource([frame(i) for i in range(50)], live=True)

    def work(item, people):
        gate.wait()  # until the source has given everything
        return people

    class Gated(FakeSource):
        def __iter__(self):
            yield from source
            gate.set()

    sink = ListSink()
    end = run(Gated([]), [sink], [FakeStage(work)], policy=Policy.LATEST, queue=1)
    assert end.frames + end.dropped["busy"] == 50
    assert sum(result.dropped_before for result in sink.results) == end.dropped["busy"]
    assert sink.results[-1].index == 49


def test_late_spans_of_sinks_ride_on_later_results():
    sink = ListSink()
    run(FakeSource([frame(i) for i in range(200)]), [sink])
    late = [span for result in sink.results for span in result.spans if span.stage == "write"]
    assert late
    assert len({span.frame for span in late}) == len(late)


def test_target_is_judged():
    frames = [frame(i) for i in range(10)]
    assert run(FakeSource(frames), target_fps=1.0).met is True
    assert run(FakeSource(frames), target_fps=1e6).met is False
    assert run(FakeSource(frames)).met is None


def test_a_chain_that_lacks_something_is_refused_when_built():
    with pytest.raises(UsageError, match="stage second needs mask, which no stage before it gives"):
        Chain([FakeStage(name="first"), FakeStage(name="second", needs=frozenset({"mask"}))], Clock())


def test_a_scene_cut_resets_the_stages_and_forgets_the_people():
    stage = FakeStage(lambda _frame, people: [*people, person()])
    chain = Chain([stage], Clock())
    dark, light = frame(0), frame(1)
    light.image[:24] = 255
    assert len(chain(dark)[0]) == 1
    people, _spans, events = chain(light)
    assert (len(people), events, stage.resets) == (1, ("scene cut",), 1)
