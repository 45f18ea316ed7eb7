"""Results from a file into other formats: no network runs again."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from bodystream.errors import SourceNotFound, SourceUnreadable, UsageError
from bodystream.pipeline.record import Recording
from bodystream.pipeline.types import End, Frame, Header, Result, Sink

# Containers that count time in other units round it; frames of one video are further apart than this.
SAME_TIME_S = Fraction(1, 1000)


def replay(
    recording: Recording, sinks: Sequence[Sink], header: Header, frames: Iterable[Frame] | None
) -> int:
    """Write a recording's results to `sinks` and return how many they were.

    `frames` are those of the video that the results are of, None where no sink needs them. The sinks are
    closed whatever happens. Raises what the recording, the frames and the sinks raise, and SourceUnreadable
    where the frames are not those of the results.
    """
    count = 0
    end: End | None = None  # until all results are through

    def close(sink: Sink) -> None:
        sink.close(end)

    with ExitStack() as stack:
        for sink in sinks:
            stack.callback(close, sink)
            sink.open(header)
        for frame, result in _matched(recording, frames):
            for sink in sinks:
                sink.write(frame if sink.needs_image else None, result)
            count += 1
        end = recording.end
    return count


def find_video(recording: Recording) -> Path:
    """Return the video that the results are of, looked for from here and from beside the results.

    Raises UsageError where the results name no file, SourceNotFound where it has moved.
    """
    named = recording.header.source.path
    if named is None:
        name = recording.header.source.name
        raise UsageError(
            f"{recording.path} is of {name}, not of a video file; give the pictures with --video"
        )
    for path in (named, recording.path.parent / named, recording.path.parent / named.name):
        if path.is_file():
            return path
    raise SourceNotFound(f"{named}, which {recording.path} is of, is not there; say where it is with --video")


def _matched(recording: Recording, frames: Iterable[Frame] | None) -> Iterator[tuple[Frame | None, Result]]:
    if frames is None:
        yield from ((None, result) for result in recording)
        return
    coming = iter(frames)
    for result in recording:
        frame = next((frame for frame in coming if frame.index >= result.index), None)
        if frame is None:
            raise SourceUnreadable(
                f"the video ends before frame {result.index} of {recording.path}; check --video"
            )
        _check_same(frame, result, recording.path)
        yield replace(frame, pts=result.pts), result


def _check_same(frame: Frame, result: Result, path: Path) -> None:
    """Raise SourceUnreadable where `frame` is not what `result` was found in."""
    height, width = frame.image.shape[:2]
    where = f"frame {result.index} of {path}"
    advice = "give the one that the results are of with --video"
    if (width, height) != result.size:
        size = f"{result.size[0]}×{result.size[1]}"
        raise SourceUnreadable(f"{where} is {size}, that of the video {width}×{height}; {advice}")
    # A folder's times are made up from its --fps, its names are not.
    same = frame.file == result.file if result.file else abs(frame.pts - result.pts) <= SAME_TIME_S
    if frame.index != result.index or not same:
        wanted = result.file or f"at {float(result.pts):.3f} s"
        found = (result.file and frame.file) or f"frame {frame.index} at {float(frame.pts):.3f} s"
        raise SourceUnreadable(f"{where} is {wanted}, the video has {found} there; {advice}")
