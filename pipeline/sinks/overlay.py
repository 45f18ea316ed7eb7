"""The drawn pictures as H.264 video with the source's sound and exact times: `.mp4`, `.mkv`."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import av
from av.container import InputContainer

from bodystream.errors import OutputFailed
from bodystream.pipeline.sinks.output import writing
from bodystream.pipeline.sinks.video import Video, VideoFile, av_errors
from bodystream.pipeline.types import End, Frame, Header, Image, Result, Span


class OverlaySink:
    """Draws each result over its picture and encodes it, at the time that it has in the source.

    `draw(image, result)` returns the drawn image; `tell` is told what the user should know. Media time
    `header.source.start` (for a live source, that of the first frame) becomes 0. .mp4 keeps times exactly,
    .mkv to the millisecond that the format counts in. Odd sizes are padded to even by repeating the edge; a
    picture of another size than the first is scaled into it, with black bars.
    """

    needs_image = True

    def __init__(
        self,
        path: Path,
        draw: Callable[[Image, Result], Image],
        *,
        tell: Callable[[str], None],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._path, self._draw, self._tell, self._clock = path, draw, tell, clock
        self._opened = ExitStack()
        self._header: Header | None = None
        self._file: VideoFile | None = None
        self._source: InputContainer | None = None
        self._video: Video | None = None

    def open(self, header: Header) -> None:
        """Begin the file; the encoder is made when the first picture tells the size."""
        if "libx264" not in av.codecs_available:
            raise OutputFailed(
                f"cannot write {self._path}: this PyAV has no libx264; install its own wheel (pip install av)"
            )
        self._header = header
        with writing(self._path):
            self._file = self._opened.enter_context(VideoFile(self._path))
        info = header.source
        if info.path is not None and not info.live:
            with av_errors(f"cannot read {info.path} again for its sound"):
                self._source = self._opened.enter_context(av.open(str(info.path)))

    def write(self, frame: Frame | None, result: Result) -> Sequence[Span]:
        """Draw, encode, write."""
        if frame is None or self._header is None or self._file is None:
            raise OutputFailed(f"cannot write {self._path}: there is no picture to draw on")
        drawing = self._clock()
        image = self._draw(frame.image, result)
        encoding = self._clock()
        with self._reported():
            if self._video is None:
                self._video = Video(self._file, image, frame.pts, self._header, self._source, self._tell)
            packets = self._video.encode(image, frame.pts)
        writing_ = self._clock()
        with self._reported():
            self._video.mux(packets)
        done = self._clock()
        return (
            Span("draw", result.index, drawing, 0, encoding - drawing),
            Span("encode", result.index, encoding, 0, writing_ - encoding),
            Span("write", result.index, writing_, 0, done - writing_),
        )

    def close(self, end: End | None) -> None:
        """Write what the encoder still holds, and make an ordinary file of it."""
        file, self._file = self._file, None
        video, self._video = self._video, None
        if file is None:
            return
        with self._opened, av_errors(f"cannot write {self._path}"), writing(self._path):
            if video is not None:
                video.close(failed=file.error is not None)
            if file.error is not None:
                raise file.error
        if video is None:
            self._path.unlink(missing_ok=True)
            if end is not None and end.failed is None:
                raise OutputFailed(
                    f"{self._path} was not written: no frame came; check the source, --start and --end"
                )

    @contextmanager
    def _reported(self) -> Iterator[None]:
        with writing(self._path), av_errors(f"cannot write {self._path}"):
            yield
            if self._file is not None and self._file.error is not None:
                raise self._file.error
