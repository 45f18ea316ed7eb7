"""Dense correspondence as pictures: `.iuv`, a folder with a PNG of the whole frame for each frame."""

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bodystream.errors import OutputFailed, UsageError
from bodystream.pipeline import iuv
from bodystream.pipeline.sinks.output import part, writing
from bodystream.pipeline.types import End, Frame, Header, Result, Span

HEAD = (
    33  # bytes of a PNG's signature and first chunk (PNG specification, 5.2 and 11.2.2): what follows is ours
)
TEXT = b"tEXtSoftware\0bodystream iuv"  # by which the pictures that may be replaced are known
MARK = (len(TEXT) - 4).to_bytes(4, "big") + TEXT + zlib.crc32(TEXT).to_bytes(4, "big")


class IuvSink:
    """Writes a PNG for every frame, of its size: red the part, green 255 U, blue 255 V, 0 where nobody is.

    The name is the frame's index in six digits, for folders of pictures the picture's own. In a folder that
    exists the pictures of an earlier run are taken away when the run begins, and nothing else is touched: they
    are known by a mark inside. A picture appears when it is whole. `open` raises UsageError where the run has no
    dense stage.
    """

    needs_image = False

    def __init__(self, folder: Path, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._folder, self._clock = folder, clock
        self._open = False

    def open(self, header: Header) -> None:
        """Make the folder, or take an earlier run's pictures out of it."""
        if "parts" not in header.extra:
            raise UsageError(
                f"{self._folder} needs dense correspondence, which these results lack; run again with --dense, or "
                "with --weights densepose-r50-fpn-s1x=FILE where the chain is rcnn"
            )
        with writing(self._folder):
            self._folder.mkdir(exist_ok=True)
            for path in ours(self._folder):
                path.unlink()
        self._open = True

    def write(self, frame: Frame | None, result: Result) -> Sequence[Span]:  # noqa: ARG002 - asked for by Sink
        """Write the frame's picture."""
        start = self._clock()
        if not self._open:
            raise OutputFailed(f"cannot write {self._folder}: it is not open")
        path = self._folder / f"{_stem(result)}.png"
        png = iuv.encode_picture(result)
        with writing(path):
            if path.exists():
                raise OutputFailed(f"{path} is there and not of this run, or two pictures have this name")
            try:
                part(path).write_bytes(png[:HEAD] + MARK + png[HEAD:])
                part(path).replace(path)
            finally:
                part(path).unlink(missing_ok=True)
        return (Span("write iuv", result.index, start, 0, self._clock() - start),)

    def close(self, end: End | None) -> None:  # noqa: ARG002 - asked for by Sink
        """Write nothing more; all pictures are whole."""
        self._open = False


def ours(folder: Path) -> Iterator[Path]:
    """The pictures in a folder that this sink wrote."""
    for path in sorted(folder.glob("*.png*")):  # .png.part is what kill -9 leaves
        if path.is_file():
            with path.open("rb") as file:
                file.seek(HEAD)
                if file.read(len(MARK)) == MARK:
                    yield path


def _stem(result: Result) -> str:
    return Path(result.file).stem if result.file else f"{result.index:06d}"
