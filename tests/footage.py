"""Tiny videos and pictures made by the tests: every frame carries its index in its pixels.

The index is written as a row of sixteen black or white blocks across the picture, most significant bit first,
so that it survives any lossy codec; `index_of` reads it back from an upright image from 32 × 8 px on.
"""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

BITS = 16
DARK, LIGHT = 40, 215
# Display matrices in a file are read as "turn the picture by this much to the right to see it upright".
QUARTERS = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}

Image = NDArray[np.uint8]


def numbered(index: int, size: tuple[int, int] = (64, 48)) -> Image:
    """A picture of `size` (width, height) that shows `index`, over red on the left and blue on the right."""
    width, height = size
    image = np.full((height, width, 3), DARK, np.uint8)
    image[height // 2 :, : width // 2] = (DARK, DARK, LIGHT)
    image[height // 2 :, width // 2 :] = (LIGHT, DARK, DARK)
    for bit in range(BITS):
        if index >> (BITS - 1 - bit) & 1:
            image[: height // 2, bit * width // BITS : (bit + 1) * width // BITS] = LIGHT
    return image


def index_of(image: Image) -> int:
    """The index that `numbered` wrote into the picture."""
    height, width = image.shape[:2]
    row = image[height // 8 : height * 3 // 8].mean((0, 2))
    columns = [int((bit + 0.5) * width / BITS) for bit in range(BITS)]
    return sum(int(row[column] > 127) << (BITS - 1 - bit) for bit, column in enumerate(columns))


def make_video(
    path: Path,
    *,
    frames: int = 12,
    size: tuple[int, int] = (64, 48),
    rate: Fraction | int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    audio: bool = False,
    rotation: int = 0,
    mirrored: bool = False,
    muxer: dict[str, str] | None = None,
) -> Path:
    """Write a video of `numbered` pictures and give its path back.

    Constant `rate`, or variable by `pts` in units of `time_base` (default 1 ms). `rotation` (0, 90, 180 or
    270 degrees clockwise) and `mirrored` set the display matrix of an mp4 and store the pictures turned the
    other way, so that a player shows them upright. `audio` adds a 440 Hz tone of the video's length.
    """
    ticks = list(pts) if pts is not None else list(range(frames))
    base = time_base or (Fraction(1, 1000) if pts is not None else 1 / Fraction(rate))
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=Fraction(rate), options=options or {})
        tone = container.add_stream("aac", rate=16_000) if audio else None
        first = _stored(numbered(0, size), rotation, mirrored)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = base
        for index, tick in enumerate(ticks):
            picture = av.VideoFrame.from_ndarray(
                _stored(numbered(index, size), rotation, mirrored), format="bgr24"
            )
            picture.pts, picture.time_base = tick, base
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if tone is not None:
            _add_tone(container, tone, (ticks[-1] + 1) * base)
    if rotation or mirrored:
        _set_display_matrix(path, rotation, mirrored)
    return path


def make_pictures(folder: Path, names: Sequence[str], size: tuple[int, int] = (64, 48)) -> Path:
    """Write a `numbered` picture under each name, the index being the place in `names`."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        done, data = cv2.imencode(Path(name).suffix, numbered(index, size))
        assert done
        (folder / name).write_bytes(data.tobytes())
    return folder


def cut_off(path: Path, target: Path, share: float) -> Path:
    """Write the first `share` of a file's bytes to `target`."""
    data = path.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def _stored(image: Image, rotation: int, mirrored: bool) -> Image:
    turned = np.rot90(image, rotation // 90)  # counter-clockwise, undone by the display matrix
    return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)


def _set_display_matrix(path: Path, rotation: int, mirrored: bool) -> None:
    """Patch the matrix of every track header (ISO 14496-12, 8.3.2); the mirroring comes before the turn."""
    a, b, c, d = QUARTERS[rotation]
    if mirrored:
        a, b = -a, -b
    data = bytearray(path.read_bytes())
    at = data.find(b"tkhd")
    assert at > 0, f"{path} has no track header"
    while at > 0:
        matrix = (
            at + 4 + 4 + (32 if data[at + 4] else 20) + 16
        )  # type, version and flags, times and ids, layer to volume
        struct.pack_into(">9i", data, matrix, a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
        at = data.find(b"tkhd", at + 4)
    path.write_bytes(bytes(data))


def _add_tone(container: av.container.OutputContainer, stream: av.AudioStream, seconds: Fraction) -> None:
    samples = np.sin(2 * np.pi * 440 * np.arange(int(seconds * 16_000)) / 16_000).astype(np.float32)
    for begin in range(0, len(samples), 1024):
        sound = av.AudioFrame.from_ndarray(samples[None, begin : begin + 1024], format="fltp", layout="mono")
        sound.sample_rate, sound.pts = 16_000, begin
        container.mux(stream.encode(sound))
    container.mux(stream.encode())
