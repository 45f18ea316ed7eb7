"""The training of an R-CNN: the loss falls, nobody in a scene is no fault, a run goes on, AP is COCO's."""

import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from bodystream.models.nets.rcnn.losses import rcnn_losses
from bodystream.models.nets.rcnn.system import SYSTEMS, Rcnn
from bodystream.training import motion
from bodystream.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from bodystream.training.learner import CHECKPOINT, CURVE, Listener, Settings, optimiser_of, running_of
from bodystream.training.loop import train
from bodystream.training.rcnn import report
from bodystream.training.rcnn.samples import UNKNOWN, MadeUp, Sample, apart
from bodystream.training.rcnn.scenes import Scenes
from bodystream.training.rcnn.task import LOSSES, RCNN, WEIGHTS, loss, sources, targets
from bodystream.training.rcnn.validation import (
    SCORES,
    Found,
    average_precision,
    counted,
    figures,
    look,
    match,
    pasted,
    surface_errors,
)

SPEC = replace(
    SYSTEMS["rcnn-s"],
    width=8,
    channels=16,
    box_hidden=16,
    mask_channels=8,
    dense_channels=8,
    dense_convs=1,
    pre_nms=40,
    proposals=20,
    rpn_samples=32,
    box_samples=16,
    head_samples=4,
    detections=5,
)
SIZE = (64, 64)
TINY = replace(RCNN, make=partial(Rcnn, SPEC), warm_up=4)


@pytest.fixture(scope="module", autouse=True)
def _few_poses() -> Iterator[None]:
    """Sixty made-up poses instead of 6000, which take ten seconds; one thread."""
    motion._pool.cache_clear()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion, "POOL", 60)
        yield
    motion._pool.cache_clear()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def batch() -> tuple[np.ndarray, ...]:
    return next(MadeUp(Scenes(size=SIZE)).batches(5, 0, 4))


def tensors(batch: tuple[np.ndarray, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(map(torch.from_numpy, batch))


def test_the_loss_falls_on_scenes_seen_again(batch: tuple[np.ndarray, ...]):
    torch.manual_seed(0)
    net = Rcnn(SPEC)
    optimiser = optimiser_of(net, 0.0)
    for group in optimiser.param_groups:
        group["lr"] = 3e-3
    told = []
    for step in range(30):
        optimiser.zero_grad()
        losses = loss(net, tensors(batch), torch.Generator().manual_seed(step), False)
        losses[0].backward()
        nn.utils.clip_grad_norm_(net.parameters(), RCNN.clip)
        optimiser.step()
        told.append(losses.detach())
    assert told[0].shape == (1 + len(LOSSES),)
    weighted = [WEIGHTS.get(name, 1) * each for name, each in zip(LOSSES, told[0][1:].tolist(), strict=True)]
    assert told[0][0] == pytest.approx(sum(weighted), rel=1e-5)
    first, last = torch.stack(told[:3]).mean(0), torch.stack(told[-3:]).mean(0)
    assert last[0] < 0.5 * first[0]
    fallen = dict(zip(LOSSES, (last < first)[1:].tolist(), strict=True))
    assert fallen["objectness"] and fallen["class"] and fallen["mask"] and fallen["fine"] and fallen["uv"]


def test_the_losses_are_those_of_the_net(batch: tuple[np.ndarray, ...]):
    """Every loss that the net has is minimised."""
    net = Rcnn(SPEC)
    images, *people = tensors(batch)
    assert set(rcnn_losses(net, net.normalised(images), targets(*people))) == set(LOSSES)


def test_nobody_in_a_scene(batch: tuple[np.ndarray, ...]):
    images, counts, boxes, masks, keypoints, part, uv = (torch.zeros_like(each) for each in tensors(batch))
    net = Rcnn(SPEC)
    draw = torch.Generator().manual_seed(0)
    losses = loss(net, (images, counts, boxes, masks, keypoints, part, uv), draw, False)
    losses[0].backward()
    assert torch.isfinite(losses).all()
    assert not losses[2] and not losses[4:].any()  # boxes, masks, charts; the classes are all background
    counts = counted(net, [tuple(each.numpy() for each in (images, counts, boxes, masks, keypoints, part, uv))],
                     torch.device("cpu"))  # fmt: skip
    assert counts[0] == 0
    assert figures(counts)[:3] == (0, 0, 0)


def test_people_whose_parts_are_not_known_train_no_charts(batch: tuple[np.ndarray, ...]):
    _, counts, boxes, masks, keypoints, part, uv = tensors(batch)
    part = torch.where(part > 0, UNKNOWN, part)
    told = targets(counts, boxes, masks, keypoints, part, uv)
    for each, people in zip(told, counts.tolist(), strict=True):
        assert (each.parts is None) == (people > 0)
        assert each.masks is not None and len(each.masks) == people


def test_targets_are_people_in_the_whole_picture(batch: tuple[np.ndarray, ...]):
    for each, sample in zip(targets(*tensors(batch)[1:]), apart(batch), strict=True):
        assert each.frames is not None and each.parts is not None and each.uv is not None
        assert each.frames.tolist() == [[0, 0, SIZE[1], SIZE[0]]] * int(sample.number)
        assert torch.equal(each.parts > 0, each.masks)
        assert each.uv.shape == (int(sample.number), 2, *SIZE)


# -- the loop


def test_an_interrupted_run_that_goes_on_ends_as_one_that_was_not(tmp_path: Path):
    source = MadeUp(Scenes(size=SIZE))
    settings = Settings(samples=8, batch=2, lr=1e-3, held_out=4, validate_every=100)
    train(TINY, source, source, tmp_path / "whole", settings)
    steps: list[int] = []
    halfway = Listener(step=lambda done, _: steps.append(done), interrupted=lambda: len(steps) >= 1)
    done = train(TINY, source, source, tmp_path / "parts", settings, listener=halfway)
    assert done.samples == 4
    train(TINY, source, source, tmp_path / "parts", settings, resume=True)
    one, other = (load_file(tmp_path / name / CHECKPOINT) for name in ("whole", "parts"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    lines = [json.loads(line) for line in (tmp_path / "parts" / CURVE).read_text().splitlines()]
    assert [line["samples"] for line in lines] == [0, 4, 8]
    assert {"box_ap50", "mask_ap50", "part_accuracy", "class", "uv"} <= set(lines[-1])
    with safe_open(tmp_path / "parts" / RCNN.file, framework="pt") as file:
        assert file.metadata()["system"] == "rcnn-s"
        assert set(file.keys()) == set(Rcnn(SPEC).state_dict())


def test_running_means_go_on_and_are_kept(tmp_path: Path):
    """Of batch norms, with SGD."""
    net, ema = (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)) for _ in range(2))
    assert len(running_of(net)) == 2
    optimiser = optimiser_of(net, 1e-4, "sgd")
    net(torch.rand(2, 1, 5, 5)).square().sum().backward()
    optimiser.step()
    save_checkpoint(tmp_path / CHECKPOINT, Progress(2, 1), net, ema, optimiser)
    again, again_ema = (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)) for _ in range(2))
    moved = optimiser_of(again, 1e-4, "sgd")
    assert load_checkpoint(tmp_path / CHECKPOINT, "a net", again, again_ema, moved) == Progress(2, 1)
    assert torch.equal(running_of(again)[0], running_of(net)[0])
    weight, same = net[0].weight, again[0].weight
    assert torch.equal(moved.state[same]["momentum_buffer"], optimiser.state[weight]["momentum_buffer"])
    for which, chosen in ((net, optimiser), (again, moved)):
        chosen.zero_grad()
        which(torch.ones(2, 1, 5, 5)).square().sum().backward()
        chosen.step()
    assert torch.equal(weight, same)


# -- figures


def sample_with(boxes: list[list[int]], shape: tuple[int, int] = (40, 60)) -> Sample:
    """People who are rectangles, of part 2 at U = V = 0.5."""
    masks = np.zeros((4, *shape), np.bool_)
    all_boxes = np.zeros((4, 4), np.float32)
    for k, (x0, y0, x1, y1) in enumerate(boxes):
        masks[k, y0:y1, x0:x1] = True
        all_boxes[k] = x0, y0, x1, y1
    part = (2 * masks.any(0)).astype(np.uint8)
    image = np.zeros((*shape, 3), np.uint8)
    count = np.asarray(len(boxes), np.int64)
    uv = np.full((2, *shape), 0.5, np.float32)
    return Sample(image, count, all_boxes, masks, np.zeros((4, 17, 3), np.float32), part, uv)


def found_with(boxes: list[list[int]], scores: list[float], part: int = 2, u: float = 0.5) -> Found:
    same = sample_with(boxes)
    masks = same.masks[: len(boxes)]
    uv = np.stack([np.full_like(same.uv, u)] * len(boxes)) * masks[:, None]
    uv[:, 1] = 0.5
    truth = np.asarray(scores, np.float32)
    return Found(
        same.boxes[: len(boxes)], truth, masks, (part * masks).astype(np.uint8), uv.astype(np.float32)
    )


def test_parts_of_people_who_are_not_found_are_wrong():
    sample = sample_with([[0, 0, 10, 20], [30, 0, 40, 20]])
    found = found_with([[0, 0, 10, 20], [0, 1, 10, 20], [44, 0, 54, 20]], [0.9, 0.8, 0.7])
    matched = match(sample, found)
    assert matched.by_box.tolist() == [0, -1, -1]  # the second comes too late, the third shows nobody
    assert matched.by_mask.tolist() == [0, -1, -1]
    pixels, right, errors = surface_errors(sample, found, matched.by_box)
    assert (pixels, right) == (400, 200)
    assert errors.shape == (200,) and errors.max() < 1e-6
    moved = surface_errors(sample, found_with([[0, 0, 10, 20]], [0.9], u=0.6), matched.by_box[:1])
    assert moved[1] == 200 and 0.005 < moved[2].mean() < 0.1
    assert surface_errors(sample, found_with([[0, 0, 10, 20]], [0.9], part=1), matched.by_box[:1])[1] == 0


def test_average_precision_is_coco_s():
    """Of boxes scattered about the true ones, pycocotools beside it."""
    rng = np.random.default_rng(0)
    images, truth, detections = [], [], []
    rows = np.zeros((2, SCORES))
    for picture in range(30):
        images.append({"id": picture, "height": 100, "width": 100})
        corners = rng.integers(0, 60, (rng.integers(1, 4), 2))
        boxes = np.concatenate([corners, corners + rng.integers(20, 40, corners.shape)], 1).astype(np.float32)
        said = np.repeat(boxes, 2, 0) + rng.normal(0, 4, (2 * len(boxes), 4)).astype(np.float32)
        order = rng.permutation(SCORES)[: len(said)]
        order = np.sort(order)[::-1]
        for box in boxes:
            truth.append(annotation(len(truth) + 1, picture, box))
        for box, k in zip(said, order, strict=True):
            detections.append(annotation(0, picture, box) | {"score": (k + 0.5) / SCORES})
        sample = sample_with([])._replace(boxes=boxes, number=np.asarray(len(boxes)))
        empty = np.zeros((len(said), 40, 60))
        found = Found(
            said, (order + 0.5) / SCORES, empty > 0, empty.astype(np.uint8), np.zeros(0, np.float32)
        )
        right = match(sample._replace(masks=np.zeros((len(boxes), 40, 60), bool)), found).by_box >= 0
        np.add.at(rows[0], order, 1)
        np.add.at(rows[1], order[right], 1)
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {"images": images, "annotations": truth, "categories": [{"id": 1}], "info": {}}
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes(detections), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    mine = average_precision(rows[0], rows[1], len(truth))
    assert 0.2 < mine < 0.9
    assert mine == pytest.approx(evaluation.stats[1], abs=2e-3)


def annotation(number: int, picture: int, box: np.ndarray) -> dict[str, object]:
    x0, y0, x1, y1 = box.tolist()
    size = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
    return {"id": number, "image_id": picture, "category_id": 1, "iscrowd": 0, **size}


def test_the_report_of_a_net_that_is_right():
    sample = sample_with([[0, 0, 10, 20], [30, 0, 40, 20]])
    seen = [(sample, found_with([[0, 0, 10, 20], [30, 0, 40, 20]], [0.9, 0.8])), (sample_with([]), nothing())]
    people, small, _, large, _, heads, _, parts, _ = report.table(seen).splitlines()[2:]
    assert people == "| all | 2 | 1.000 | 1.000 | 1.000 | 1.000 | 1.000 |"
    assert small.startswith("| small | 2 |") and large == "| large | 0 |  |"
    assert "right parts" in heads
    assert parts == "| all | 1.000 | 1.000 | 1.000 | 1.000 | 0.0 | 0.0 | 1.000 | 1.000 |"
    turned = [(sample, found_with([[0, 0, 10, 20]], [0.9], part=1))]
    assert report.table(turned).splitlines()[-2].startswith("| all | 0.000 | 0.000 | 0.500 | 0.500 |")
    assert report.gallery(seen).shape == (40, 2 * 60 * report.COLUMNS, 3)


def nothing() -> Found:
    return Found(*(each[:0] for each in found_with([[0, 0, 10, 20]], [0.5])))


def test_maps_are_put_where_their_box_is():
    maps = torch.arange(4.0).view(1, 2, 2)
    shown = pasted(maps, torch.tensor([2.0, 1.0, 6.0, 5.0]), (6, 8), "nearest")[0]
    assert shown[1:5, 2:6].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    assert shown.sum() == 24
    outside = pasted(maps + 1, torch.tensor([-2.0, -2.0, 2.0, 2.0]), (6, 8), "nearest")[0]
    assert (outside[:2, :2] == 4).all() and outside.sum() == 16
    assert not pasted(maps, torch.tensor([3.0, 3.0, 3.0, 5.0]), (6, 8)).any()


def test_what_a_net_finds_lies_in_its_boxes(batch: tuple[np.ndarray, ...]):
    torch.manual_seed(1)
    net = Rcnn(replace(SPEC, min_score=0.0))
    found = look(net, batch[0][0], torch.device("cpu"))
    assert len(found.boxes) == 5
    for box, mask, part in zip(found.boxes, found.masks, found.part, strict=True):
        rows, columns = np.nonzero(mask | (part > 0))
        if len(rows):
            assert columns.min() + 0.5 >= box[0] and columns.max() + 0.5 <= box[2]
            assert rows.min() + 0.5 >= box[1] and rows.max() + 0.5 <= box[3]


def test_other_people_are_held_out(tmp_path: Path):
    learnt, held_out = sources(None)
    assert isinstance(learnt, MadeUp) and isinstance(held_out, MadeUp)
    for k in range(12):
        (tmp_path / f"{k}.jpg").write_bytes(b"")
    learnt, held_out = sources(None, backgrounds=tmp_path)
    seen, unseen = set(learnt.made.pictures), set(held_out.made.pictures)
    assert len(seen) == 10 and len(unseen) == 2 and not seen & unseen
