"""Where frames come from: one word from the user, one of six kinds of source."""

import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from bodystream.errors import SourceNotFound, UsageError
from bodystream.pipeline.source.camera import Mode, open_camera
from bodystream.pipeline.source.feed import Feed
from bodystream.pipeline.source.file import open_file, open_pipe
from bodystream.pipeline.source.folder import (
    NUMBER,
    folder_pictures,
    glob_pictures,
    is_picture,
    open_pictures,
    sequence_pictures,
)
from bodystream.pipeline.source.pattern import PREFIX, open_pattern
from bodystream.pipeline.source.pick import Pick, make_pick
from bodystream.pipeline.source.stream import SCHEMES, open_address, public_name
from bodystream.pipeline.time import snap_rate

__all__ = ["open_source"]


def open_source(
    spec: str,
    *,
    start: float | Fraction | None = None,
    end: float | Fraction | None = None,
    stride: int = 1,
    max_frames: int | None = None,
    size: tuple[int, int] | None = None,
    fps: float | str | Fraction | None = None,
    fourcc: str | None = None,
    clock: Callable[[], int] = time.monotonic_ns,
    stdin: BinaryIO | None = None,
) -> Feed:
    """Open what the user named.

    `spec`: a camera's number ("0"), a video or picture file, a folder, a glob or a `%06d` sequence of
    pictures, an http, https, rtsp, rtmp, srt or udp address, "-" for a video on `stdin`, or `test:` for a
    made one.

    `start` and `end` are seconds of media time: frames with start <= pts < end. `stride` gives the first
    of these and every stride-th after it, `max_frames` at most so many. `size` (width, height) and `fourcc`
    are for cameras, `fps` for cameras and pictures.

    Raises UsageError, SourceNotFound and SourceUnreadable, each with one line that says what to do.
    """
    want = make_pick(start, end, stride, max_frames)
    rate = _rate(fps)
    if spec.isascii() and spec.isdigit():
        return open_camera(int(spec), Mode(size, rate, fourcc), want, clock)
    _refuse(spec, {"--size": size, "--fourcc": fourcc}, "a camera")
    pictures = _open_pictures(spec, want, clock, rate)
    if pictures is not None:
        return pictures
    _refuse(spec, {"--fps": fps}, "a camera or a series of pictures")
    return _open_video(spec, want, clock, stdin)


def _open_pictures(spec: str, want: Pick, clock: Callable[[], int], rate: Fraction | None) -> Feed | None:
    """None where `spec` names no pictures. What exists under the very name comes first."""
    path = Path(spec)
    if _is_video_word(spec):
        return None
    if path.is_dir():
        return open_pictures(folder_pictures(path), path.resolve().name or spec, want, clock, rate=rate)
    if path.exists():
        return open_pictures([path], path.name, want, clock, rate=rate) if is_picture(path) else None
    if NUMBER.search(path.name):
        paths, note = sequence_pictures(spec)
        return open_pictures(paths, spec, want, clock, rate=rate, notes=(note,) if note else ())
    if any(sign in spec for sign in "*?["):
        return open_pictures(glob_pictures(spec), spec, want, clock, rate=rate)
    return None


def _open_video(spec: str, want: Pick, clock: Callable[[], int], stdin: BinaryIO | None) -> Feed:
    if spec == "-":
        return open_pipe(stdin or sys.stdin.buffer, want, clock)
    if spec.startswith(PREFIX):
        return open_pattern(spec, want, clock)
    scheme, separator, _ = spec.partition("://")
    if separator and scheme.lower() in SCHEMES:
        return open_address(spec, want, clock)
    if separator and not Path(spec).exists():
        raise UsageError(
            f"{public_name(spec)}: unknown kind of address {scheme}; known are {', '.join(sorted(SCHEMES))}."
        )
    if not Path(spec).exists():
        raise SourceNotFound(
            f"{spec} does not exist. Check the path; a camera is named by its number, such as 0."
        )
    return open_file(Path(spec), want, clock)


def _is_video_word(spec: str) -> bool:
    return spec == "-" or spec.startswith(PREFIX) or "://" in spec


def _rate(fps: float | str | Fraction | None) -> Fraction | None:
    try:
        return None if fps is None else snap_rate(fps)
    except ValueError as error:
        raise UsageError(f"--fps {fps} is not a rate above zero. Examples: 30, 29.97, 30000/1001.") from error


def _refuse(spec: str, options: dict[str, object], meant_for: str) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        verb = "is" if len(given) == 1 else "are"
        shown = public_name(spec) if "://" in spec else spec
        raise UsageError(f"{' and '.join(given)} {verb} for {meant_for}; {shown} has its own. Leave it out.")
