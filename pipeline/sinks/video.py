"""An H.264 stream with exact times, and the file it goes to."""

import math
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from bodystream.errors import OutputFailed
from bodystream.pipeline.sinks.audio import Soundtrack
from bodystream.pipeline.source.decode import origin
from bodystream.pipeline.types import Header, Image

# Measured at crf 20 on 100 frames of 720p sports footage, 2 cores: ultrafast 3.4 ms of CPU and 29 kB a frame
# at 44.1 dB, superfast 6.4 ms, 17 kB, 42.8 dB, veryfast 7.9 ms, 9.5 kB, 40.9 dB. The encoder shares its cores
# with the nets, so the time decides, but ultrafast pays for it with files of nearly twice the size.
ENCODER = {"preset": "superfast", "crf": "20"}
KEYFRAME_S = 2  # a seek decodes this much at most, and a crash loses no more
# The file is written in fragments, so that what `kill -9` leaves plays; closing it turns it into an ordinary
# .mp4 with one index, which editors ask for. FFmpeg before 8.1 gets that index wrong (found with 7.1 and 8.0,
# by reading the files back); there the file is an ordinary one from the start, and a killed run loses it.
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+delay_moov+hybrid_fragmented"}
FFMPEG_8_1 = (62, 12, 0)  # its libavformat
FORMATS = {
    ".mp4": ("mp4", FRAGMENTS if av.library_versions["libavformat"] >= FFMPEG_8_1 else {}),
    ".mkv": ("matroska", {}),
}
# A second. An .mp4 counts the gap between two frames in 32 bits, 214 s of these; 11,289,600 are needed for
# pictures on FFmpeg's 1/15360 s beside sound of 44.1 kHz that begins before them.
MOST_TICKS = 20_000_000
FINE_TICKS = 90_000  # a second, where the source has no common clock: MPEG's own
BT_709, SMPTE_170M = 1, 6  # primaries and transfer: ITU-T H.273, tables 2 and 3
HD_WIDTH, HD_HEIGHT = 1280, 576  # from here on players take BT.709 for granted, below BT.601


class Video:
    """One H.264 stream and the sound beside it."""

    def __init__(
        self,
        file: "VideoFile",
        first: Image,
        pts: Fraction,
        header: Header,
        source: InputContainer | None,
        tell: Callable[[str], None],
    ) -> None:
        info = header.source
        name, options = FORMATS[file.path.suffix.lower()]
        self._container: OutputContainer = av.open(file, "w", format=name, container_options=options)
        self._zero = pts if info.live else min(info.start, pts)
        began = origin(source) if source is not None else Fraction(0)
        pictures = source.streams.video[0] if source is not None and source.streams.video else None
        ticks = _ticks_per_second(
            pictures.time_base.denominator if pictures is not None and pictures.time_base else FINE_TICKS,
            info.rate.numerator if info.rate else 1,
            self._zero.denominator,
            began.denominator,
        )
        self._clock = Fraction(1, ticks)
        self._nominal = max(1, round((1 / info.rate if info.rate else Fraction(1, 30)) / self._clock))
        self._last = -1
        self._size = first.shape[1], first.shape[0]
        self._stream = self._add_stream(info.rate or Fraction(30))
        if pictures is not None:
            self._stream.sample_aspect_ratio = _pixel_shape(pictures, self._size)
        self._sound: Soundtrack | None = None
        sound = source.streams.best("audio") if source is not None else None
        if source is not None and isinstance(sound, AudioStream):
            self._sound = Soundtrack(source, sound, self._container, began + self._zero, tell)

    def _add_stream(self, rate: Fraction) -> VideoStream:
        width, height = (side + side % 2 for side in self._size)
        stream: VideoStream = self._container.add_stream("libx264", rate=rate, options=ENCODER)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = self._clock
        context = stream.codec_context
        context.time_base = self._clock
        context.gop_size = max(1, round(rate * KEYFRAME_S))
        hd = width >= HD_WIDTH or height > HD_HEIGHT
        context.color_range = ColorRange.MPEG
        context.colorspace = Colorspace.ITU709 if hd else Colorspace.ITU601
        context.color_primaries = context.color_trc = BT_709 if hd else SMPTE_170M
        return stream

    def encode(self, image: Image, pts: Fraction) -> "list[av.Packet[VideoStream]]":
        """Encode a picture, uint8 (H, W, 3) BGR, shown at media time `pts`, s; its packets may come later."""
        picture = VideoFrame.from_ndarray(_even(_fitted(image, self._size)), "bgr24").reformat(
            format="yuv420p",
            dst_colorspace=self._stream.codec_context.colorspace,
            dst_color_range=ColorRange.MPEG,
        )
        # Time stands still in some broken files; an encoder's clock may not.
        self._last = max(self._last + 1, round((pts - self._zero) / self._clock))
        picture.pts, picture.time_base = self._last, self._clock
        return list(self._stream.encode(picture))

    def mux(self, packets: "Sequence[av.Packet[VideoStream]]") -> None:
        """Write packets, and the sound up to them."""
        for packet in packets:
            packet.duration = self._nominal  # counts for the last one: the others end where the next begins
            if self._sound is not None and packet.dts is not None:
                self._sound.until(packet.dts * self._clock)
            self._container.mux(packet)

    def close(self, *, failed: bool) -> None:
        """Write what the encoder still holds, unless the file has `failed`, and the end of the file."""
        try:
            if not failed:
                self.mux(self._stream.encode(None))
                if self._sound is not None:
                    self._sound.until((self._last + self._nominal) * self._clock)
        finally:
            self._container.close()


class VideoFile:
    """A file for FFmpeg to write to that stays as it is from the first failed write on.

    FFmpeg would go on to write the end of a video into a file whose middle is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: OSError | None = None
        self._file = path.open("wb", buffering=0)

    def write(self, data: bytes) -> int:
        """Write all of `data`, or keep the error and, from then on, write nothing."""
        rest = memoryview(data)
        try:
            while rest and self.error is None:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = error
        return len(data)

    # What FFmpeg asks of a file beside `write`.
    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def __enter__(self) -> "VideoFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self.error is not None and self.path.suffix.lower() == ".mp4":
            os.truncate(self.path, whole_fragments(self.path))


def whole_fragments(path: Path) -> int:
    """Return the length of what players can read of a fragmented .mp4 whose end is missing, bytes.

    ISO/IEC 14496-12: a file is a row of boxes, each beginning with its length and its kind; a fragment is a
    `moof` box and the `mdat` box after it.
    """
    size = path.stat().st_size
    position = whole = 0
    with path.open("rb") as file:
        while position + 8 <= size:
            file.seek(position)
            length, kind = struct.unpack(">I4s", file.read(8))
            position += length
            if length < 8 or position > size:
                break
            if kind != b"moof":
                whole = position
    return whole


@contextmanager
def av_errors(doing: str) -> Iterator[None]:
    """Turn FFmpeg's errors into an OutputFailed that says what was being done."""
    try:
        yield
    except (av.FFmpegError, ValueError) as error:
        raise OutputFailed(f"{doing}: FFmpeg says {error}") from error


def _ticks_per_second(*exact: int) -> int:
    """Return a clock on which the source's times are whole numbers, else a fine one."""
    ticks = math.lcm(*exact)
    return ticks if ticks <= MOST_TICKS else FINE_TICKS


def _pixel_shape(source: VideoStream, size: tuple[int, int]) -> Fraction:
    """Return the width of a pixel over its height; the source may have been turned on its side since."""
    shape = source.sample_aspect_ratio or Fraction(1)
    return shape if size == (source.width, source.height) else 1 / shape


def _fitted(image: Image, size: tuple[int, int]) -> Image:
    """Scale `image` into `size` (width, height), black bars beside it, unless it has that size."""
    width, height = size
    h, w = image.shape[:2]
    if (w, h) == size:
        return image
    scale = min(width / w, height / h)
    w, h = max(1, min(width, round(w * scale))), max(1, min(height, round(h * scale)))
    left, top = (width - w) // 2, (height - h) // 2
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[top : top + h, left : left + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
    return canvas


def _even(image: Image) -> Image:
    """Repeat the last column and row where there is an odd number: H.264 halves colour in both directions."""
    height, width = image.shape[:2]
    if not (height % 2 or width % 2):
        return np.ascontiguousarray(image)
    padded = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return padded.astype(np.uint8, copy=False)
