"""Bytes from outside: files of the package registry, by the user's own index settings, and plain addresses.

Nothing is ever installed or built. `unearth` finds a file's address, wheels of any platform and sdists alike.
The settings are those of pip (its files and variables) and of uv (its variables): what `pip download` reaches
is reached here too. Which index serves the file does not matter: the caller knows the right sha256.
"""

import ast
import importlib.util
import logging
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import httpx2
from unearth import Link, PackageFinder
from unearth.auth import MultiDomainBasicAuth
from unearth.fetchers import Fetcher, PyPIClient

from bodystream.errors import WeightsCorrupt, WeightsMissing
from bodystream.models.zoo import MOST_BYTES, Address, Archive

TIMEOUT_S = 30.0  # for each wait, not for the whole: slow lines stay usable, dead ones are noticed
ATTEMPTS = 3  # a line that breaks once in a hundred megabytes is ordinary
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """Where packages are looked for, in this order; `indexes` is empty for the public default."""

    find_links: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    extra_indexes: tuple[str, ...] = ()
    no_index: bool = False
    cert: str | None = None  # a file or folder of certificates to trust instead of the system's
    trusted_hosts: tuple[str, ...] = ()


def download(origin: Archive | Address, target: IO[bytes], report: Callable[[int, int], None]) -> None:
    """Write the archive, or the file at the address, into `target`; `report` is told the bytes so far, and all.

    All is 0 where neither the zoo nor the server says it.

    Raises WeightsMissing where nothing is reached, WeightsCorrupt where more arrives than is announced.
    """
    settings = read_settings(os.environ, pip_settings())
    with _client(settings) as client:
        url = origin.url if isinstance(origin, Address) else _locate(client, origin, settings)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _stream(client, url, origin, target, report)
                return
            except httpx2.TransportError as error:
                if attempt == ATTEMPTS:
                    raise WeightsMissing(f"{origin} broke off {ATTEMPTS} times: {_reason(error)}") from error
            except httpx2.HTTPError as error:
                raise WeightsMissing(f"{origin} is refused: {_reason(error)}") from error


def pip_settings() -> dict[str, str]:
    """Pip's settings from its own files, as pip itself reads them: {"index-url": ...}; none without pip.

    Pip's commands override its [global] section; `download` is the one that does what is done here.
    """
    if importlib.util.find_spec("pip") is None:
        return {}
    command = [sys.executable, "-m", "pip", "config", "list"]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    settings: dict[str, str] = {}
    for section in ("global", "install", "download"):
        for line in lines:
            if found := re.fullmatch(rf"{section}\.([\w-]+)=('.*'|\".*\")", line):
                settings[found[1]] = ast.literal_eval(found[2])
    return settings


def read_settings(environ: Mapping[str, str], pip: Mapping[str, str]) -> IndexSettings:
    """Index settings: variables before files, pip's before uv's; folders that do not exist are left out."""

    def words(option: str, *uv: str) -> tuple[str, ...]:
        own = environ.get("PIP_" + option.upper().replace("-", "_")) or pip.get(option)
        values = [own] if own else [environ[name] for name in uv if environ.get(name)]
        # uv allows name=address, and commas between folders
        places = (
            re.sub(r"^[\w.-]+=(?=\w+://)", "", word)
            for value in values
            for word in re.split(r"[\s,]+", value)
        )
        return tuple(place for place in places if place)

    def there(places: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(place for place in places if not _is_missing_folder(place))

    return IndexSettings(
        find_links=there(words("find-links", "UV_FIND_LINKS")),
        indexes=there(words("index-url", "UV_DEFAULT_INDEX") or words("index-url", "UV_INDEX_URL")),
        extra_indexes=there(words("extra-index-url", "UV_INDEX", "UV_EXTRA_INDEX_URL")),
        no_index=bool(words("no-index", "UV_NO_INDEX"))
        and words("no-index", "UV_NO_INDEX")[0] not in ("0", "false"),
        cert=next(iter(words("cert")), None),
        trusted_hosts=words("trusted-host", "UV_INSECURE_HOST"),
    )


def _is_missing_folder(place: str) -> bool:
    if place.startswith("file:"):
        return not Link(place).file_path.exists()
    return "://" not in place and not Path(place).exists()


def _client(settings: IndexSettings) -> PyPIClient:
    verify: ssl.SSLContext | bool = True
    if settings.cert:
        folder = Path(settings.cert).is_dir()
        verify = ssl.create_default_context(
            cafile=None if folder else settings.cert, capath=settings.cert if folder else None
        )
    client = PyPIClient(
        verify=verify, trusted_hosts=settings.trusted_hosts, timeout=TIMEOUT_S, follow_redirects=True
    )
    client.auth = MultiDomainBasicAuth(
        prompting=False, index_urls=[*settings.indexes, *settings.extra_indexes]
    )
    return client


def _locate(client: PyPIClient, archive: Archive, settings: IndexSettings) -> str:
    """Address of exactly this file: the sources are asked in turn, and told of only if none has it."""
    reasons: list[str] = []
    for index_urls, find_links in _sources(settings):
        finder = PackageFinder(  # with neither list, unearth asks the public index
            cast(Fetcher, client), index_urls=index_urls, find_links=find_links, ignore_compatibility=True
        )
        try:
            with _warnings_of("unearth") as warnings:
                for package in finder.find_matches(str(archive), allow_yanked=True):
                    if package.link.filename == archive.file:
                        return package.link.normalized
            reasons += warnings or [f"{archive.file} is not in {_shown(finder)}"]
        except httpx2.HTTPError as error:
            reasons.append(f"{_shown(finder)}: {_reason(error)}")
    raise WeightsMissing(f"{archive} was not found: {'; '.join(reasons) or 'the settings name no index'}")


def _sources(settings: IndexSettings) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    for place in settings.find_links:  # often a local folder: asked first
        yield (), (place,)
    if settings.no_index:
        return
    if not settings.indexes:
        yield (), ()
    for place in (*settings.indexes, *settings.extra_indexes):
        yield (place,), ()


def _shown(finder: PackageFinder) -> str:
    return ", ".join(Link(source["url"]).redacted for source in finder.sources)


@contextmanager
def _warnings_of(logger: str) -> Iterator[list[str]]:
    """Collect what a library only logs, as unearth does with a refused index page, instead of printing it."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger(logger).addHandler(handler)
    try:
        yield messages
    finally:
        logging.getLogger(logger).removeHandler(handler)


def _stream(
    client: PyPIClient,
    url: str,
    origin: Archive | Address,
    target: IO[bytes],
    report: Callable[[int, int], None],
) -> None:
    target.seek(0)
    target.truncate()
    done = 0
    # identity: a server may otherwise take .tar.gz for a compressed .tar, and the client unpack it
    with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response:
        response.raise_for_status()
        total = origin.bytes or int(response.headers.get("Content-Length", 0))
        for chunk in response.iter_bytes(CHUNK_BYTES):
            done += len(chunk)
            if done > (origin.bytes or MOST_BYTES):
                most = f"{origin.bytes} bytes that the zoo states" if origin.bytes else f"{MOST_BYTES} bytes"
                raise WeightsCorrupt(f"{origin} is longer than the {most}")
            target.write(chunk)
            report(done, total)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
