"""Source, chain and sinks put together: their threads, what a failure stops, what is always closed."""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bodystream.errors import BodystreamError, OutputFailed
from bodystream.pipeline.chain import Chain
from bodystream.pipeline.handoff import Handoff, Pacer, Policy
from bodystream.pipeline.latency import LatencyBook
from bodystream.pipeline.types import End, Frame, Header, Result, Sink, Source, Span

SINK_QUEUE = 4  # results a slow sink may lag behind: a third of a second of 720p frames is 11 MB
SOURCE_PATIENCE_S = 5.0  # a camera driver may hang in its read; the process must still end


@dataclass(frozen=True, slots=True)
class Wiring:
    """How a run is put together; the clocks are parameters so that tests need none."""

    clock: Callable[[], int]  # monotonic, ns
    policy: Policy = Policy.EVERY
    queue: int = 2  # frames that wait between source and chain
    target_fps: float | None = None
    stop: threading.Event = field(
        default_factory=threading.Event
    )  # set it to end the run as if the source had


class Run:
    """One run: make it, call it once.

    The source reads in a thread of its own, the chain works in the caller's thread, each sink writes in a
    thread of its own; `views` are sinks that must be called from the caller's thread (windows). The first
    failure anywhere ends the run: what is queued is still written, every sink is closed, then it is raised.
    """

    def __init__(
        self,
        header: Header,
        source: Source,
        chain: Chain,
        sinks: Sequence[Sink],
        wiring: Wiring,
        views: Sequence[Sink] = (),
    ) -> None:
        self.book = LatencyBook(["capture", "decode", "wait", *(stage.name for stage in chain.stages)])
        self.frames = 0
        self.wiring = wiring
        self._header, self._source, self._chain = header, source, chain
        self._views = tuple(views)
        self._frames: Handoff[tuple[Frame, int]] = Handoff(wiring.policy, wiring.queue)
        self._writers = [_Writer(sink, self) for sink in sinks]
        self._late: deque[Span] = deque()  # spans of sinks, for the next result to carry
        self._tally = _Tally(parts=len(sinks) + 1)
        self._failure: BaseException | None = None
        self._lock = threading.Lock()

    def __call__(self, observe: Callable[[Result], None] = lambda _result: None) -> End:
        """Run to the end of the source, close everything; then return what is known, or raise the failure."""
        opened: list[Sink] = []
        reader = threading.Thread(target=self._read, name="source", daemon=True)
        try:
            for sink in [*(writer.sink for writer in self._writers), *self._views]:
                opened.append(sink)
                sink.open(self._header)
            for writer in self._writers:
                writer.thread.start()
            reader.start()
            self._work(observe)
        except BaseException as exc:  # noqa: BLE001 - kept, and raised again below when the files are finished
            self.fail(exc)
        self._frames.close()
        self._source.close()
        for writer in self._writers:
            writer.finish()
        if reader.ident is not None:
            reader.join(SOURCE_PATIENCE_S)
        end = self._end()
        for sink in opened:
            try:
                sink.close(end)
            except Exception as exc:  # noqa: BLE001 - the other sinks must still be closed
                self.fail(exc)
        if self._failure is not None:
            raise self._failure
        return end

    @property
    def counts(self) -> Mapping[str, int]:
        """What went wrong in the source so far, by cause."""
        return self._source.counts

    def fail(self, failure: BaseException) -> None:
        """Keep the first failure and let the run come to its end; may be called from any thread."""
        with self._lock:
            self._failure = self._failure or failure
        self._frames.close()

    def note(self, frame: Frame, spans: Sequence[Span]) -> None:
        """Count a sink's spans, and the frame's end-to-end time once every part is done with it."""
        self.book.add(spans)
        self._late.extend(spans)
        now_ns = self.wiring.clock()
        if self._tally.done(frame.index, now_ns):
            whole = Span("end to end", frame.index, frame.captured_ns, 0, now_ns - frame.captured_ns)
            self.book.add([whole])

    def _read(self) -> None:
        """The source's thread."""
        stop = self.wiring.stop
        pacer = Pacer(self.wiring.clock, stop.wait)
        try:
            for frame in self._source:
                self.book.add(frame.spans)
                if self.wiring.policy is Policy.PACED and not pacer.hold(float(frame.pts)):
                    break
                if stop.is_set() or not self._frames.put((frame, self.wiring.clock())):
                    break
            self._frames.close()
        except BaseException as exc:  # noqa: BLE001 - handed over to the thread that can tell the user
            self._frames.fail(exc)

    def _work(self, observe: Callable[[Result], None]) -> None:
        """The chain's loop, in the caller's thread."""
        dropped = 0
        for frame, handed_ns in self._frames:
            now_ns = self.wiring.clock()
            wait = Span("wait", frame.index, handed_ns, 0, now_ns - handed_ns)
            people, spans, events = self._chain(frame)
            spans = (*frame.spans, wait, *spans)
            self.book.add(spans[len(frame.spans) :])
            late = tuple(self._late.popleft() for _ in range(len(self._late)))
            size = (frame.image.shape[1], frame.image.shape[0])
            dropped_before, dropped = self._frames.dropped - dropped, self._frames.dropped
            result = Result(
                index=frame.index,
                pts=frame.pts,
                size=size,
                people=people,
                spans=(*late, *spans),
                dropped_before=dropped_before,
                events=events,
                file=frame.file,
                keypoints=self._header.keypoints,
            )
            self._tally.begin(frame.index, len(people))
            for writer in self._writers:
                writer.queue.put((frame, result))
            for view in self._views:
                self.book.add(view.write(frame, result))
            self.note(frame, ())
            self.frames += 1
            observe(result)

    def _end(self) -> End:
        fps = self._tally.fps()
        target = self.wiring.target_fps
        return End(
            frames=self.frames,
            dropped={"busy": self._frames.dropped} if self._frames.dropped else {},
            failed=None if self._failure is None else str(self._failure) or type(self._failure).__name__,
            rows=self.book.rows(),
            fps=fps,
            people_mean=self._tally.people / self.frames if self.frames else 0.0,
            target_fps=target,
            met=None if target is None or fps is None else fps >= target,
            counts=dict(self._source.counts),
        )


class _Writer:
    """A sink and its thread."""

    def __init__(self, sink: Sink, run: Run) -> None:
        self.sink = sink
        self.queue: Handoff[tuple[Frame, Result]] = Handoff(Policy.EVERY, SINK_QUEUE)
        self.thread = threading.Thread(target=self._write, name=type(sink).__name__, daemon=True)
        self._run = run

    def finish(self) -> None:
        """Let the sink write what is queued, and wait for it."""
        self.queue.close()
        if self.thread.ident is not None:
            self.thread.join()

    def _write(self) -> None:
        try:
            for frame, result in self.queue:
                self._run.note(frame, self.sink.write(frame, result))
        except BodystreamError as exc:
            self._run.fail(exc)
        except Exception as exc:  # noqa: BLE001 - whatever a sink raises ends the run with one line
            failure = OutputFailed(f"{type(self.sink).__name__} failed ({type(exc).__name__}: {exc})")
            failure.__cause__ = exc
            self._run.fail(failure)
        finally:
            self.queue.close()


class _Tally:
    """When each frame is done by every part (the chain and each sink), and how fast that goes."""

    def __init__(self, parts: int) -> None:
        self._parts = parts
        self._open: dict[int, int] = {}
        self._lock = threading.Lock()
        self._done = 0
        self._first_ns = self._last_ns = 0
        self.people = 0

    def begin(self, frame: int, people: int) -> None:
        with self._lock:
            self._open[frame] = self._parts
            self.people += people

    def done(self, frame: int, now_ns: int) -> bool:
        """True where this was the last part that was busy with the frame."""
        with self._lock:
            self._open[frame] -= 1
            if self._open[frame]:
                return False
            del self._open[frame]
            self._last_ns = now_ns
            if not self._done:
                self._first_ns = now_ns
            self._done += 1
            return True

    def fps(self) -> float | None:
        """Frames a second from the end of the first to the end of the last; None under two frames."""
        elapsed_ns = self._last_ns - self._first_ns
        return (self._done - 1) / (elapsed_ns / 1e9) if elapsed_ns else None
