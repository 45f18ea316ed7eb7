"""The overlay video: times, sound, colours and sizes as they come back from the file."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from bodystream.errors import OutputFailed
from bodystream.pipeline.sinks.overlay import OverlaySink
from bodystream.pipeline.sinks.video import whole_fragments
from bodystream.pipeline.types import Frame, Header, Image, Result
from tests import recordings
from tests.fakes import Clock

GREY = np.full((48, 64, 3), 128, np.uint8)


def untouched(image: Image, _result: Result) -> Image:
    return image


def overlay(
    path: Path, header: Header, images: Sequence[Image], times: Sequence[Fraction], tell: object = print
) -> Path:
    sink = OverlaySink(path, untouched, tell=tell)
    sink.open(header)
    try:
        for index, (image, pts) in enumerate(zip(images, times, strict=True)):
            size = image.shape[1], image.shape[0]
            sink.write(Frame(index, pts, 0, image, "fake"), recordings.result(index, pts=pts, size=size))
    finally:
        sink.close(None)
    return path


def no_path(**changes: object) -> Header:
    return recordings.header(path=None, **changes)


def shown(path: Path) -> list[tuple[Fraction, Image]]:
    with av.open(str(path)) as container:
        return [(f.pts * f.time_base, f.to_ndarray(format="bgr24")) for f in container.decode(video=0)]


def times_of(path: Path) -> list[Fraction]:
    return [time for time, _ in shown(path)]


RATES = [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(25), Fraction(60), Fraction(15, 2)]


@pytest.mark.parametrize("rate", RATES)
def test_times_of_a_constant_rate_are_exact(tmp_path: Path, rate: Fraction) -> None:
    times = [index / rate for index in range(20)]
    path = overlay(tmp_path / "a.mp4", no_path(rate=rate), [GREY] * 20, times)
    assert times_of(path) == times
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert video.duration * video.time_base == 20 / rate, "the last frame is shown as long as the others"
        assert video.codec_context.name == "h264"


def test_times_of_a_variable_rate_are_exact(tmp_path: Path) -> None:
    source = sounding(tmp_path / "source.mp4", ticks=15360)
    times = [Fraction(ticks, 15360) for ticks in (0, 1, 700, 701, 1500, 9000, 40001)]
    path = overlay(tmp_path / "a.mp4", recordings.header(path=source, rate=None), [GREY] * 7, times)
    assert times_of(path) == times


def test_mkv_counts_in_milliseconds(tmp_path: Path) -> None:
    times = [index / recordings.NTSC for index in range(20)]
    for found, wanted in zip(
        times_of(overlay(tmp_path / "a.mkv", no_path(), [GREY] * 20, times)), times, strict=True
    ):
        assert abs(found - wanted) <= Fraction(1, 2000)


def test_start_becomes_zero_and_a_gap_at_the_beginning_stays(tmp_path: Path) -> None:
    times = [Fraction(10) + Fraction(index + 3, 25) for index in range(4)]
    header = no_path(rate=Fraction(25), start=Fraction(10))
    assert times_of(overlay(tmp_path / "a.mp4", header, [GREY] * 4, times)) == [time - 10 for time in times]


def test_a_live_source_begins_with_its_first_frame(tmp_path: Path) -> None:
    times = [Fraction(123_456_789_012 + index * 33_333_333, 10**9) for index in range(5)]
    found = times_of(overlay(tmp_path / "a.mp4", no_path(live=True, rate=Fraction(30)), [GREY] * 5, times))
    assert found[0] == 0
    for time, wanted in zip(found, times, strict=True):
        assert abs(time - (wanted - times[0])) <= Fraction(1, 2 * 90_000)


def test_time_that_stands_still_or_runs_back(tmp_path: Path) -> None:
    times = [Fraction(ticks, 25) for ticks in (0, 1, 1, 0, 2)]
    found = times_of(overlay(tmp_path / "a.mp4", no_path(rate=Fraction(25)), [GREY] * 5, times))
    assert found == sorted(set(found))
    assert found[-1] == times[-1]


@pytest.mark.parametrize(("width", "height"), [(63, 47), (1, 1), (2, 3), (639, 359)])
def test_odd_sizes_are_padded_by_the_edge(tmp_path: Path, width: int, height: int) -> None:
    image = np.full((height, width, 3), 40, np.uint8)
    image[-1], image[:, -1] = 200, 200
    (_, found), *_ = shown(
        overlay(tmp_path / "a.mp4", no_path(), [image] * 3, [Fraction(i, 25) for i in range(3)])
    )
    assert found.shape == (height + height % 2, width + width % 2, 3)
    assert abs(int(found[-1, -1, 0]) - 200) < 25


def test_another_size_is_put_between_black_bars(tmp_path: Path) -> None:
    wide = np.full((24, 64, 3), 255, np.uint8)  # half as high as the first
    path = overlay(tmp_path / "a.mp4", no_path(), [GREY, wide], [Fraction(0), Fraction(1)])
    (_, _), (_, found) = shown(path)
    assert found.shape == GREY.shape
    assert found[:8].max() < 40
    assert found[40:].max() < 40
    assert found[20:28].min() > 215


COLOURS = [(0, 0, 0), (255, 255, 255), (0, 0, 200), (0, 200, 0), (200, 0, 0), (60, 120, 180)]


@pytest.mark.parametrize(("size", "colorspace"), [((64, 64), 5), ((1280, 720), 1)])
def test_colours_come_back_and_are_labelled(tmp_path: Path, size: tuple[int, int], colorspace: int) -> None:
    images = [np.full((size[1], size[0], 3), colour, np.uint8) for colour in COLOURS]
    path = overlay(tmp_path / "a.mp4", no_path(), images, [Fraction(i, 25) for i in range(len(images))])
    with av.open(str(path)) as container:
        for frame, colour in zip(container.decode(video=0), COLOURS, strict=True):
            assert int(frame.colorspace) == colorspace
            assert int(frame.color_range) == 1
            middle = frame.to_ndarray(format="bgr24")[size[1] // 2, size[0] // 2].astype(int)
            assert abs(middle - colour).max() <= 6


def test_spans_and_the_drawing(tmp_path: Path) -> None:
    def inverted(image: Image, _result: Result) -> Image:
        return 255 - image

    sink = OverlaySink(tmp_path / "a.mp4", inverted, tell=print, clock=Clock())
    sink.open(no_path())
    spans = sink.write(Frame(7, Fraction(0), 0, GREY // 4, "fake"), recordings.result(7))
    assert [(span.stage, span.frame, span.host_ns) for span in spans] == [
        ("draw", 7, 1_000_000),
        ("encode", 7, 1_000_000),
        ("write", 7, 1_000_000),
    ]
    sink.close(None)
    assert abs(int(shown(tmp_path / "a.mp4")[0][1][24, 32, 0]) - 223) < 6


def test_without_the_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    with pytest.raises(OutputFailed, match="libx264"):
        OverlaySink(tmp_path / "a.mp4", untouched, tell=print).open(no_path())


def test_a_size_that_the_encoder_refuses(tmp_path: Path) -> None:
    strip = np.zeros((2, 20_000, 3), np.uint8)
    with pytest.raises(OutputFailed, match="cannot write") as caught:
        overlay(tmp_path / "a.mp4", no_path(), [strip], [Fraction(0)])
    assert "\n" not in str(caught.value)


# Sound


def sounding(
    path: Path,
    codec: str = "aac",
    seconds: int = 4,
    ticks: int = 12800,
    tone: bool = True,
    rate: int = 48_000,
) -> Path:
    """A video at 25 frames a second, whose sound is silent but for a tone from second 2 to 3."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.time_base = Fraction(1, 25)
        video.time_base = Fraction(1, ticks)
        audio = container.add_stream(codec, rate=rate, layout="mono") if tone else None
        for index in range(25 * seconds):
            frame = av.VideoFrame.from_ndarray(GREY, "bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
            if audio is not None:
                container.mux(audio.encode(sound(index, rate)))
        container.mux(video.encode(None))
        if audio is not None:
            container.mux(audio.encode(None))
    return path


def sound(index: int, rate: int) -> av.AudioFrame:
    count = rate // 25
    loud = 2 <= index / 25 < 3
    wave = np.sin(np.arange(count) / rate * 2 * np.pi * 1000) * (16000 if loud else 0)
    frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, index * count, Fraction(1, rate)
    return frame


def tone_begins(path: Path) -> tuple[str, float, float]:
    """The sound's codec, when the tone begins in it, and when the sound ends, s."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        begin = end = -1.0
        for frame in container.decode(stream):
            samples = np.abs(frame.to_ndarray().astype(float)).max(axis=0)
            samples /= 32768 if frame.format.name.startswith("s16") else 1
            loud = np.flatnonzero(samples > 0.2)
            if begin < 0 and len(loud):
                begin = frame.time + loud[0] / frame.sample_rate
            end = frame.time + frame.samples / frame.sample_rate
        return stream.codec.canonical_name, begin, end


PACKET_S = 0.03  # an MP3 packet is 24 ms at 48 kHz, an AAC packet 21 ms


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "aac"),
        ("a.avi", "mp3"),
        ("a.ts", "aac"),
        ("a.mkv", "ac3"),
        ("a.avi", "pcm_s16le"),
        ("a.mkv", "flac"),
    ],
)
def test_sound_is_kept_and_stays_in_step(tmp_path: Path, name: str, codec: str, suffix: str) -> None:
    encoder = {"mp3": "libmp3lame"}.get(codec, codec)
    source = sounding(tmp_path / name, encoder)
    told: list[str] = []
    times = [Fraction(index, 25) for index in range(100)]
    header = recordings.header(path=source, rate=Fraction(25))
    path = overlay(tmp_path / f"out{suffix}", header, [GREY] * 100, times, told.append)
    found, begin, end = tone_begins(path)
    copied = suffix == ".mkv" or codec in {"aac", "mp3", "ac3"}
    assert found == (codec if copied else "aac")
    assert len(told) == (0 if copied else 1)
    assert begin == pytest.approx(2, abs=PACKET_S * 2)
    assert end == pytest.approx(4, abs=0.1)
    assert [float(time) for time in times_of(path)] == pytest.approx(
        [float(time) for time in times], abs=6e-4
    )


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_sound_is_cut_with_the_picture(tmp_path: Path, codec: str) -> None:
    source = sounding(tmp_path / ("a.mp4" if codec == "aac" else "a.mkv"), codec)
    times = [Fraction(index, 25) for index in range(35, 70)]
    header = recordings.header(path=source, rate=Fraction(25), start=Fraction(7, 5))
    path = overlay(tmp_path / "out.mp4", header, [GREY] * 35, times)
    _, begin, end = tone_begins(path)
    assert times_of(path) == [time - Fraction(7, 5) for time in times]
    assert begin == pytest.approx(0.6, abs=PACKET_S)
    assert end == pytest.approx(1.4, abs=0.06)


def test_a_rate_that_aac_does_not_have(tmp_path: Path) -> None:
    source = sounding(tmp_path / "a.mkv", "pcm_s16le", rate=192_000)
    header = recordings.header(path=source, rate=Fraction(25))
    path = overlay(tmp_path / "out.mp4", header, [GREY] * 100, [Fraction(index, 25) for index in range(100)])
    assert tone_begins(path) == ("aac", pytest.approx(2, abs=PACKET_S), pytest.approx(4, abs=0.1))


@pytest.mark.parametrize("codec", ["aac", "flac"])
def test_sound_of_a_source_that_is_cut_off(tmp_path: Path, codec: str) -> None:
    source = sounding(tmp_path / "a.mkv", codec)
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 3 // 4])
    _, begin, end = tone_begins(drawn_again(source, []))
    assert begin == pytest.approx(2, abs=PACKET_S)
    assert 2 < end < 3.9


def test_sound_with_a_damaged_middle(tmp_path: Path) -> None:
    source = sounding(tmp_path / "a.mkv", "mp2")
    content = bytearray(source.read_bytes())
    for at in range(len(content) // 2, len(content) * 3 // 4, 97):
        content[at] ^= 0xFF
    source.write_bytes(content)
    told: list[str] = []
    codec, _, end = tone_begins(drawn_again(source, told))
    assert codec == "aac"
    assert end > 3.5
    assert [line[:22] for line in told] == ["the sound, mp2, is not", "the sound has gaps: it"]


def drawn_again(source: Path, told: list[str]) -> Path:
    header = recordings.header(path=source, rate=Fraction(25))
    path = source.with_name("out.mp4")
    overlay(path, header, [GREY] * 100, [Fraction(index, 25) for index in range(100)], told.append)
    assert len(times_of(path)) == 100
    return path


def test_a_source_without_sound(tmp_path: Path) -> None:
    source = sounding(tmp_path / "a.mp4", tone=False)
    header = recordings.header(path=source, rate=Fraction(25))
    path = overlay(tmp_path / "out.mp4", header, [GREY] * 3, [Fraction(i, 25) for i in range(3)])
    with av.open(str(path)) as container:
        assert len(container.streams) == 1


def test_a_source_that_went_away(tmp_path: Path) -> None:
    sink = OverlaySink(tmp_path / "out.mp4", untouched, tell=print)
    with pytest.raises(OutputFailed, match=r"gone\.mp4"):
        sink.open(recordings.header(path=tmp_path / "gone.mp4"))
    sink.close(recordings.end(failed="gone"))
    assert not list(tmp_path.iterdir())


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    source = tmp_path / "a.mp4"
    with av.open(str(source), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(16, 11)
        container.mux(video.encode(av.VideoFrame.from_ndarray(GREY, "bgr24")))
        container.mux(video.encode(None))
    header = recordings.header(path=source)
    upright = np.full((64, 48, 3), 9, np.uint8)
    for image, shape in ((GREY, Fraction(16, 11)), (upright, Fraction(11, 16))):
        path = tmp_path / f"{shape.numerator}.mp4"
        overlay(path, header, [image], [Fraction(0)])
        with av.open(str(path)) as container:
            assert container.streams.video[0].sample_aspect_ratio == shape


def test_whole_fragments_by_hand(tmp_path: Path) -> None:
    def box(kind: bytes, length: int) -> bytes:
        return length.to_bytes(4) + kind + bytes(length - 8)

    path = tmp_path / "a.mp4"
    whole = box(b"ftyp", 16) + box(b"moov", 40) + box(b"moof", 24) + box(b"mdat", 100)
    for rest in (b"", b"\0\0", box(b"moof", 24), box(b"moof", 24) + box(b"mdat", 100)[:-1], bytes(8)):
        path.write_bytes(whole + rest)
        assert whole_fragments(path) == len(whole)


def test_closed_properly_it_is_an_ordinary_file(tmp_path: Path) -> None:
    path = overlay(tmp_path / "a.mp4", no_path(), [GREY] * 200, [Fraction(i, 25) for i in range(200)])
    content, kinds, position = path.read_bytes(), [], 0
    while position < len(content):
        kinds.append(content[position + 4 : position + 8])
        position += int.from_bytes(content[position : position + 4])
    assert kinds == [b"ftyp", b"free", b"mdat", b"moov"]
