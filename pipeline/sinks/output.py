"""What the writers share: files that are readable at every moment, and what is said of one that fails."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, cast

from bodystream.errors import OutputFailed

ADVICE = {
    errno.ENOSPC: "free some space, or write to another disk",
    errno.EDQUOT: "free some space, or write to another disk",
    errno.EFBIG: "the system allows no larger file here; write to another place",
    errno.EPIPE: "the program that read it has ended",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that you may write to",
}


@contextmanager
def writing(name: str | Path) -> Iterator[None]:
    """Turn an OSError into an OutputFailed that names the output and says what to do."""
    try:
        yield
    except OutputFailed:
        raise
    except OSError as error:
        advice = ADVICE.get(error.errno or 0, "choose another place")
        raise OutputFailed(f"cannot write {name}: {error.strerror or error}; {advice}") from error


def write_all(file: IO[bytes], data: bytes) -> None:
    """Write all of `data` to an unbuffered file, which may take a part at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def part(path: Path) -> Path:
    """Return the name under which a file is written that is no use before it is whole."""
    return path.with_name(path.name + ".part")


class Pieces:
    """A file that holds whole pieces and then `tail`, at every moment: after `kill -9`, and on a full disk.

    Each piece is one write of the operating system; one that does not fit is taken away again. `tail` is
    what makes the file whole ("]" for a JSON array); the next piece is written over it. `path` None is
    standard output. Neither that nor a pipe can go back: half a line may stay at the end, and readers cope.
    """

    def __init__(self, path: Path | None, tail: bytes = b"") -> None:
        self._path, self._tail = path, tail
        self._name = "standard output" if path is None else str(path)
        self._file: BinaryIO | None = None
        self._whole = 0  # bytes of whole pieces

    @property
    def is_open(self) -> bool:
        """Whether there is anything to close."""
        return self._file is not None

    def open(self) -> None:
        """Begin the file, emptying it where it exists. Raises OutputFailed."""
        with writing(self._name):
            self._file = sys.stdout.buffer if self._path is None else _unbuffered(self._path)

    def write(self, piece: bytes) -> None:
        """Append `piece`. Raises OutputFailed, and then the file is as it was."""
        if self._file is None:
            raise OutputFailed(f"cannot write {self._name}: it is not open")
        try:
            with writing(self._name):
                self._put(self._file, piece + self._tail)
        except OutputFailed:
            if self._can_go_back(self._file):
                with suppress(OSError):  # the first failure is the one to report
                    self._file.truncate(self._whole)
                    self._put(self._file, self._tail)
            raise
        self._whole += len(piece)

    def close(self) -> None:
        """Close the file; again does nothing."""
        file, self._file = self._file, None
        if file is not None and self._path is not None:
            with writing(self._name):
                file.close()

    def _can_go_back(self, file: BinaryIO) -> bool:
        return (
            self._path is not None and file.seekable()
        )  # standard output may be appended to what is not ours

    def _put(self, file: BinaryIO, data: bytes) -> None:
        if self._can_go_back(file):
            file.seek(self._whole)
        write_all(file, data)
        file.flush()


def _unbuffered(path: Path) -> BinaryIO:
    return cast(BinaryIO, path.open("wb", buffering=0))  # a FileIO, which typeshed does not call a BinaryIO
