"""The source's own sound, put beside the drawn pictures."""

from collections.abc import Callable, Iterator
from fractions import Fraction

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer
from av.packet import Packet

# What players know inside each kind of file; FFmpeg itself would put more into an .mp4 than they play.
COPIED = {
    "mp4": frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus"}),
    "matroska": frozenset(
        {"aac", "mp3", "mp2", "ac3", "eac3", "alac", "opus", "vorbis", "flac", "pcm_s16le", "dts"}
    ),
}

AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000})


class Soundtrack:
    """Moves the sound of `source` into `output` as far as the pictures have come: memory stays flat.

    Packets are copied where the file can hold their codec, else decoded and encoded as AAC. `start` is the
    source's own time, s, that becomes 0; sound before it is left out, to a whole packet (about 20 ms).
    """

    def __init__(
        self,
        source: InputContainer,
        stream: AudioStream,
        output: OutputContainer,
        start: Fraction,
        tell: Callable[[str], None],
    ) -> None:
        self._stream, self._output, self._start, self._tell = stream, output, start, tell
        self._told = False
        self._kind: tuple[str, str, int] | None = None
        codec, rate = stream.codec.canonical_name, stream.codec_context.sample_rate
        if codec in COPIED[output.format.name]:
            self._out = output.add_stream_from_template(stream)
            self._packets = self._copies(source)
        else:
            tell(f"the sound, {codec}, is not at home in {output.format.name}; it is encoded as AAC")
            self._out = output.add_stream("aac", rate=rate if rate in AAC_RATES else 48_000)
            self._packets = self._encodes(source)
        if start > 0 and stream.time_base is not None:
            source.seek(int(start / stream.time_base), stream=stream)
        self._next = next(self._packets, None)

    def until(self, time: Fraction) -> None:
        """Write what begins before `time`, s, in the output's own time."""
        while self._next is not None and _begin(self._next) < time:
            self._output.mux(self._next)
            self._next = next(self._packets, None)

    def _copies(self, source: InputContainer) -> "Iterator[Packet[AudioStream]]":
        # In transport streams each packet of AAC has a header of its own (ADTS), in files it is the stream's.
        bare = self._stream.codec_context.extradata is not None or self._stream.codec.canonical_name != "aac"
        headers = None if bare else BitStreamFilterContext("aac_adtstoasc", self._stream)
        for packet in self._readable(source.demux(self._stream)):
            if packet.pts is None or packet.dts is None:
                continue  # the empty packet that ends the stream
            offset = round(self._start / packet.time_base)
            packet.pts -= offset
            packet.dts -= offset
            if packet.pts >= 0:
                for ready in [packet] if headers is None else headers.filter(packet):
                    ready.stream = self._out
                    yield ready

    def _encodes(self, source: InputContainer) -> "Iterator[Packet[AudioStream]]":
        for packet in self._readable(source.demux(self._stream)):
            for frame in self._decoded(packet):
                if self._moved(frame) >= 0:
                    yield from self._out.encode(frame)
        yield from self._out.encode(None)

    def _readable(self, packets: "Iterator[Packet[AudioStream]]") -> "Iterator[Packet[AudioStream]]":
        try:
            yield from packets
        except av.FFmpegError as error:
            self._tell(f"the sound ends early, its source is damaged: {error.strerror}")

    def _decoded(self, packet: "Packet[AudioStream]") -> list[AudioFrame]:
        """Decode a packet; leave out what is damaged, or not sound of the first one's kind."""
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            frames = []
            self._tell_once("the sound has gaps: its source is damaged")
        kinds = [(frame.format.name, frame.layout.name, frame.sample_rate) for frame in frames]
        self._kind = self._kind or next(iter(kinds), None)
        if any(kind != self._kind for kind in kinds):
            self._tell_once("the sound has gaps: its source is damaged, or changes its kind midway")
        return [frame for frame, kind in zip(frames, kinds, strict=True) if kind == self._kind]

    def _tell_once(self, line: str) -> None:
        if not self._told:
            self._tell(line)
        self._told = True

    def _moved(self, frame: AudioFrame) -> int:
        pts = (frame.pts or 0) - round(
            self._start * (1 / (frame.time_base or Fraction(1, frame.sample_rate)))
        )
        frame.pts = pts
        return pts


def _begin(packet: "Packet[AudioStream]") -> Fraction:
    return (packet.pts or 0) * packet.time_base
