"""The training of classifiers: pictures and their classes, the loss, LeNet-5 on scikit-learn's digits."""

import itertools
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file

from bodystream.errors import SourceNotFound, SourceUnreadable, UsageError
from bodystream.models.nets.backbones.googlenet import GoogLeNet
from bodystream.models.nets.backbones.lenet import HIGH, LOW, LeNet5
from bodystream.models.nets.backbones.resnet import resnet
from bodystream.training.classifier.pictures import (
    DIGITS,
    chosen_of,
    classes,
    middle_of,
    part_of,
    sources,
)
from bodystream.training.classifier.task import counted, figures, loss, prepared, task
from bodystream.training.learner import CHECKPOINT, CURVE, Listener, Settings
from bodystream.training.loop import train


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """Two classes of ten pictures each: bright discs and bright bars on dark ground, 40 × 60 px."""
    rng = np.random.default_rng(0)
    for name in ("bar", "disc"):
        (tmp_path / "shapes" / name).mkdir(parents=True)
        for number in range(10):
            image = rng.integers(0, 60, (40, 60, 3)).astype(np.uint8)
            x, y = (int(each) for each in rng.integers(18, 23, 2))
            if name == "disc":
                cv2.circle(image, (x + 10, y), 12, (230, 220, 240), -1)
            else:
                cv2.rectangle(image, (x, y - 16), (x + 6, y + 16), (230, 220, 240), -1)
            cv2.imwrite(str(tmp_path / "shapes" / name / f"{number}.png"), image)
    return tmp_path / "shapes"


# -- pictures


def test_to_learn_all_are_seen_before_any_is_seen_again():
    endless = chosen_of(10, True, 4, np.random.default_rng(0))
    first = np.concatenate(list(itertools.islice(endless, 5)))
    assert sorted(first[:10]) == list(range(10))
    assert sorted(first[10:]) == list(range(10))
    assert [list(each) for each in chosen_of(5, False, 2, np.random.default_rng(0))] == [[0, 1], [2, 3], [4]]


def test_a_folder_of_pictures(shapes: Path):
    assert classes(shapes) == ("bar", "disc")
    learnt, held_out = sources(shapes, "resnet-18", size=32)
    assert not set(learnt.paths) & set(held_out.paths)
    assert (len(learnt.paths), len(held_out.paths)) == (16, 4)
    images, labels = next(learnt.batches(3, 0, 6))
    assert (images.shape, images.dtype) == ((6, 32, 32, 3), np.uint8)
    assert (labels.shape, labels.dtype) == ((6,), np.int64)
    again = next(learnt.batches(3, 0, 6))
    assert np.array_equal(images, again[0])
    assert not np.array_equal(images, next(learnt.batches(4, 0, 6))[0])
    judged = list(held_out.batches(0, 0, 3))
    assert [len(each) for each, _ in judged] == [3, 1]
    assert np.concatenate([each for _, each in judged]).tolist() == [0, 0, 1, 1]


def test_lenet_takes_whole_grey_pictures(shapes: Path):
    learnt, _ = sources(shapes, "lenet-5")
    images, _ = next(learnt.batches(0, 0, 2))
    assert images.shape == (2, 32, 32)
    assert prepared(LeNet5(), torch.from_numpy(images)).shape == (2, 1, 32, 32)
    extremes = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1)
    assert prepared(LeNet5(), extremes).flatten().tolist() == pytest.approx([LOW, HIGH])


def test_parts_of_a_picture():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (30, 50, 3)).astype(np.uint8)
    parts = [part_of(image, rng) for _ in range(200)]
    areas = [part.shape[0] * part.shape[1] / 1500 for part in parts]
    assert min(areas) > 0.06
    assert max(areas) > 0.6
    mirrored = image[:, ::-1]
    assert all(part.tobytes() in both(image, mirrored, part.shape) for part in parts[:5])
    assert part_of(image[:1, :1], rng).shape == (1, 1, 3)
    assert middle_of(image).shape == (26, 26, 3)
    assert np.array_equal(middle_of(image), image[2:28, 12:38])


def both(image: np.ndarray, mirrored: np.ndarray, shape: tuple[int, ...]) -> set[bytes]:
    """All parts of that shape of a picture and of its mirror image."""
    h, w, _ = shape
    return {
        each[y : y + h, x : x + w].tobytes()
        for each in (image, mirrored)
        for y in range(image.shape[0] - h + 1)
        for x in range(image.shape[1] - w + 1)
    }


def test_data_that_are_none(shapes: Path, tmp_path: Path):
    with pytest.raises(SourceNotFound, match="is no folder; --data takes digits, or a folder"):
        classes(tmp_path / "nowhere")
    with pytest.raises(SourceNotFound, match="holds 1 folders; expected two or more, one to a class"):
        sources(tmp_path, "resnet-18")
    with pytest.raises(UsageError, match="for lenet-5 alone, not for alexnet"):
        sources(DIGITS, "alexnet")
    with pytest.raises(UsageError, match="no classifier called 'resnet-9'; known: lenet-5, alexnet"):
        task("resnet-9", ("a", "b"))
    (shapes / "disc" / "3.png").write_bytes(b"no picture")
    with pytest.raises(SourceUnreadable, match=r"3\.png cannot be read as a picture; remove it"):
        list(itertools.islice(sources(shapes, "resnet-18", size=8)[0].batches(0, 0, 16), 1))
    (shapes / "one").mkdir()
    with pytest.raises(SourceNotFound, match="one holds no pictures"):
        sources(shapes, "resnet-18")
    cv2.imwrite(str(shapes / "one" / "1.png"), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(SourceNotFound, match="holds one picture; expected two or more"):
        sources(shapes, "resnet-18")


def test_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(UsageError, match=r"not installed; pip install 'bodystream\[train\]'"):
        sources(DIGITS, "lenet-5")


# -- the task


def test_the_loss_of_googlenet_has_three_parts():
    net = GoogLeNet(3)
    images = torch.randint(0, 256, (2, 64, 64, 3), generator=torch.Generator().manual_seed(0)).byte()
    labels = torch.tensor([2, 0])
    draw = torch.Generator().manual_seed(7)
    (found,) = loss(net, (images, labels), draw, False).tolist()
    assert loss(net, (images, labels), draw, False).tolist() == [found]  # dropout is drawn alike
    torch.manual_seed(7)
    main, first, second = (
        F.cross_entropy(each, labels) for each in net.with_auxiliary(prepared(net, images))
    )
    assert found == pytest.approx((main + 0.3 * (first + second)).item(), rel=1e-5)


def test_figures_by_hand():
    class Says(LeNet5):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(x), 4) + torch.tensor([1.0, 0, 0, 0])

    batch = (np.zeros((3, 32, 32), np.uint8), np.array([0, 0, 1]))
    told = figures(counted(Says(), [batch, batch], torch.device("cpu")))
    total = np.log(np.e + 3)
    assert told["accuracy"] == pytest.approx(2 / 3)
    assert told["nats"] == pytest.approx((2 * (total - 1) + total) / 3, rel=1e-5)


def test_a_run_that_goes_on_is_the_same(shapes: Path, tmp_path: Path):
    given = task("lenet-5", classes(shapes)), *sources(shapes, "lenet-5")
    settings = Settings(samples=32, batch=4, lr=1e-2, held_out=16)
    train(*given, tmp_path / "whole", settings)
    steps: list[int] = []
    halfway = Listener(step=lambda done, _: steps.append(done), interrupted=lambda: len(steps) >= 3)
    train(*given, tmp_path / "parts", settings, listener=halfway)
    train(*given, tmp_path / "parts", settings, resume=True)
    one, other = (load_file(tmp_path / name / CHECKPOINT) for name in ("whole", "parts"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    with safe_open(tmp_path / "whole" / "lenet-5.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["classes"]) == ["bar", "disc"]
        assert file.metadata()["system"] == "lenet-5"


def test_a_resnet_tells_shapes_apart(shapes: Path, tmp_path: Path):
    narrow = replace(task("resnet-18", classes(shapes)), make=partial(resnet, "resnet18", 2, width=8))
    settings = Settings(samples=960, batch=16, lr=5e-3, held_out=16, validate_every=1000)
    train(narrow, *sources(shapes, "resnet-18", size=32), tmp_path / "run", settings)
    last = json.loads((tmp_path / "run" / CURVE).read_text().splitlines()[-1])
    assert last["accuracy"] == 1.0


def test_lenet_learns_the_digits(tmp_path: Path):
    pytest.importorskip("sklearn")
    learnt, held_out = sources(DIGITS, "lenet-5")
    assert (len(learnt.labels), len(held_out.labels)) == (1437, 360)
    settings = Settings(samples=20_000, batch=64, lr=6e-3, held_out=360, validate_every=100_000)
    train(task("lenet-5", classes(DIGITS)), learnt, held_out, tmp_path / "run", settings)
    first, last = (json.loads(line) for line in (tmp_path / "run" / CURVE).read_text().splitlines())
    assert first["accuracy"] < 0.3
    assert last["accuracy"] > 0.97
