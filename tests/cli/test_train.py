"""`bodystream train`, a few steps of each network."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
import torch

from bodystream.cli import main
from bodystream.models.systems import parse
from bodystream.models.weights.correspondence import load_correspondence
from bodystream.models.weights.lift import load_lift
from bodystream.models.weights.networks import load
from bodystream.training import learner, motion

SHORT = ["--samples", "16", "--batch", "4", "--held-out", "4", "--processes", "1", "--device", "cpu"]


def test_a_run_and_another_that_goes_on(tmp_path, capsys):
    folder = tmp_path / "made" / "dense"
    assert main.run(["train", "dense", "-o", str(folder), *SHORT]) == 0
    out, _ = capsys.readouterr()
    head, first, last = out.splitlines()
    assert head.split()[:2] == ["samples", "loss"] and "part accuracy" in head
    assert (first.split()[0], last.split()[0]) == ("0", "16")
    lines = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    assert [line["samples"] for line in lines] == [0, 16]
    assert 0.3 < lines[0]["part_accuracy"] < 1  # the baseline's
    load_correspondence(folder / "dense-s.safetensors")

    assert main.run(["train", "dense", "-o", str(folder), *SHORT]) == 1
    assert "holds a training run; add --resume" in capsys.readouterr().err
    assert main.run(["train", "dense", "-o", str(folder), *SHORT, "--resume", "--samples", "24"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[0] == "24"


def test_lift_is_trained_and_gone_on_with(tmp_path, capsys):
    words = ["train", "lift", "-o", str(tmp_path), *SHORT]
    assert main.run(words) == 0
    head, first, last = capsys.readouterr().out.splitlines()
    assert "pa mm" in head and "raw pa mm" in head
    assert (first.split()[0], last.split()[0]) == ("0", "16")
    lines = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert lines[0]["pa_mm"] == lines[0]["raw_pa_mm"]  # it starts as the landmark net's own
    assert lines[1]["pa_mm"] != lines[1]["raw_pa_mm"]
    load_lift(tmp_path / "lift-s.safetensors")
    assert main.run(["train", "dense", "-o", str(tmp_path), *SHORT, "--resume"]) == 1
    assert "not a checkpoint of dense-s" in capsys.readouterr().err
    assert main.run([*words, "--resume", "--samples", "24"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[0] == "24"


@pytest.fixture
def _small():
    """Sixty made-up poses instead of 6000, which take ten seconds, and two pictures to be judged by; one thread."""
    motion._pool.cache_clear()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion, "POOL", 60)
        patch.setattr(learner, "HELD_OUT_BATCH", 2)
        yield
    motion._pool.cache_clear()
    torch.set_num_threads(threads)


FEW = ["--samples", "2", "--batch", "2", "--held-out", "1", "--processes", "1", "--device", "cpu"]


@pytest.mark.usefixtures("_small")
def test_rcnn_is_trained_on_scenes(tmp_path, capsys):
    assert main.run(["train", "rcnn", "-o", str(tmp_path), *FEW]) == 0
    head, first, last = capsys.readouterr().out.splitlines()
    assert "box ap50" in head and "part accuracy" in head and "objectness" in head
    assert (first.split()[0], last.split()[0]) == ("0", "2")
    weights = tmp_path / "rcnn-s.safetensors"
    assert load(parse(str(weights)), weights, ("rcnn",))[0] == "rcnn-s"


@pytest.mark.usefixtures("_small")
def test_rcnn_is_trained_on_cocos_format(tmp_path, capsys):
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    outline = [[20, 10, 40, 10, 40, 60, 20, 60]]
    person = {"category_id": 1, "iscrowd": 0, "bbox": [20, 10, 20, 50], "area": 1000, "segmentation": outline}
    pictures = [{"id": k, "file_name": f"{k}.png", "height": 80, "width": 100} for k in range(3)]
    content = {
        "images": pictures,
        "annotations": [person | {"id": k + 1, "image_id": k} for k in range(3)],
        "categories": [{"id": 1, "name": "person"}],
    }
    (data / "annotations.json").write_text(json.dumps(content))
    for k in range(3):
        cv2.imwrite(str(data / "images" / f"{k}.png"), np.full((80, 100, 3), 60 * k, np.uint8))
    words = ["train", "rcnn", "-o", str(tmp_path / "out"), "--data", str(data)]
    assert main.run([*words, *FEW]) == 0
    last = json.loads((tmp_path / "out" / "curve.jsonl").read_text().splitlines()[-1])
    assert last["fine"] == 0 and last["mask"] > 0  # nothing is known of parts
    capsys.readouterr()
    assert main.run([*words, *FEW, "--poses", str(tmp_path)]) == 2
    assert "--data goes with neither --poses nor --backgrounds" in capsys.readouterr().err


@pytest.mark.usefixtures("_small")
def test_a_classifier_of_digits_is_trained(tmp_path, capsys):
    pytest.importorskip("sklearn")
    words = ["train", "classifier", "-o", str(tmp_path), "--data", "digits", "--processes", "1"]
    assert main.run([*words, "--device", "cpu", "--samples", "640"]) == 0
    head, first, last = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["samples", "loss", "accuracy", "nats"]
    assert float(last.split()[3]) < float(first.split()[2])  # nats; the first line has no loss
    assert (tmp_path / "lenet-5.safetensors").exists()
    assert main.run([*words, "--network", "lenet-6"]) == 2
    assert "no classifier called 'lenet-6'" in capsys.readouterr().err


def test_a_noise_that_is_none(tmp_path, capsys):
    assert main.run(["train", "lift", "-o", str(tmp_path), "--noise", "pink"]) == 2
    assert "--noise pink: expected hand, fitted, mixed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--device", "gpu"], "--device gpu: expected auto, cpu or cuda"),
        (["--batch", "5", "--processes", "2"], "a batch of 5 cannot be shared by 2 processes"),
        (["--minutes", "-1"], "--minutes"),
    ],
)
def test_wrong_words_are_usage_errors(tmp_path, capsys, words, told):
    assert main.run(["train", "dense", "-o", str(tmp_path), "--device", "cpu", *words]) == 2
    assert told in capsys.readouterr().err


def test_poses_that_are_not_there(tmp_path, capsys):
    assert main.run(["train", "dense", "-o", str(tmp_path), "--poses", str(tmp_path)]) == 1
    assert "--poses needs the folder of both pose archives" in capsys.readouterr().err


COMMAND = [sys.executable, "-m", "bodystream", "train", "dense", "--batch", "4", "--held-out", "16"]
TWO = ["--processes", "2", "--device", "cpu"]


@contextmanager
def running(folder):
    """The command in two processes, from when it takes its first steps."""
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [*COMMAND, *TWO, "-o", str(folder)]
    with subprocess.Popen(command, env=environ, start_new_session=True, **pipes) as run:
        try:
            while not (folder / "curve.jsonl").exists():
                assert run.poll() is None
                time.sleep(0.1)
            yield run
        finally:
            run.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_leaves_a_checkpoint(tmp_path):
    with running(tmp_path) as run:
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to all processes of the command
        _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert b"Traceback" not in err
    assert (tmp_path / "checkpoint.safetensors").exists()


def test_nothing_is_left_of_a_run_that_was_killed(tmp_path):
    with running(tmp_path) as run:
        run.kill()
        run.communicate(timeout=30)  # both ends of its pipes are closed: its other process has ended too
