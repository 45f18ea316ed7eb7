"""The training of dense-s, on toy samples: loss, samples, checkpoints, the loop, its processes."""

import copy
import itertools
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from bodystream.errors import (
    DeviceUnavailable,
    OutputExists,
    TrainingFailed,
    UsageError,
    WeightsCorrupt,
    WeightsMissing,
)
from bodystream.models.body.data import load
from bodystream.models.dense_layout import CHANNELS, GROUPS, MASK, PARTS
from bodystream.models.nets.correspondence import Correspondence, part_logits, uv_on
from bodystream.models.weights.correspondence import load_correspondence
from bodystream.training.checkpoint import Progress, load_checkpoint, save_checkpoint, save_weights
from bodystream.training.dense.loss import (
    BACKGROUND,
    BETA,
    IGNORE,
    PLACE,
    by_cell,
    chart_sizes,
    chosen_cells,
    loss_of,
)
from bodystream.training.dense.task import DENSE, DROPPED, OFFSETS_KEPT, weights, with_gaps
from bodystream.training.dense.validation import counted, figures
from bodystream.training.learner import (
    CHECKPOINT,
    CURVE,
    Listener,
    Report,
    Settings,
    optimiser_of,
    rate_at,
)
from bodystream.training.loop import hardware, train
from bodystream.training.source import SEGMENT, loaded, stream
from tests.toy_source import ToySource

# A step of 4 toy samples takes some 0.05 s on one thread.
WEIGHTS = DENSE.file
TOY = Settings(samples=160, batch=4, lr=1e-2, validate_every=80, held_out=16)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def curve(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / CURVE).read_text().splitlines()]


def toy_batch(size: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    inputs, part, uv = map(torch.from_numpy, next(ToySource().batches(0, 0, size)))
    return inputs, part, uv


# -- samples


def test_a_stream_goes_on_where_it_was_left():
    whole = list(itertools.islice(stream(ToySource(), 3, 1, 2), SEGMENT + 3))
    for start in (0, 5, SEGMENT - 1, SEGMENT, SEGMENT + 1):
        inputs, part, _ = next(stream(ToySource(), 3, 1, 2, start))
        assert np.array_equal(inputs, whole[start][0])
        assert np.array_equal(part, whole[start][1])
    assert not np.array_equal(whole[0][0], whole[SEGMENT][0])  # a segment is another seed
    assert not np.array_equal(whole[0][0], next(stream(ToySource(), 3, 0, 2))[0])
    assert not np.array_equal(whole[0][0], next(stream(ToySource(), 4, 1, 2))[0])


def test_workers_give_the_same_batches_from_wherever_they_start():
    with closing(loaded(ToySource(), 0, 1, 0, workers=2)) as batches:
        first = [next(batches)[0] for _ in range(5)]
    with closing(loaded(ToySource(), 0, 1, 3, workers=2)) as batches:
        again = [next(batches)[0] for _ in range(2)]
    assert torch.equal(again[0], first[3])
    assert torch.equal(again[1], first[4])
    assert not torch.equal(first[0], first[1])


def test_a_worker_that_fails_is_told_of():
    with (
        closing(loaded(ToySource("raise"), 0, 1, 0, workers=1)) as batches,
        pytest.raises(TrainingFailed, match="makes samples failed: ValueError: a fault of the source"),
    ):
        next(batches)


# -- the loss


def test_pixels_of_a_cell_are_in_the_order_of_the_input():
    maps = torch.rand(2, 3, 128, 128)
    assert torch.equal(by_cell(maps).flatten(1, 2), F.pixel_unshuffle(maps, 2))


def test_the_loss_is_that_of_all_pixels_that_count():
    torch.manual_seed(0)
    net = Correspondence()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    sizes = torch.from_numpy(chart_sizes(load()))
    inputs, part, uv = toy_batch()
    part[0, 40:50, 40:50] = IGNORE
    inputs[:, MASK] = 1  # every cell is chosen
    with torch.no_grad():
        loss = loss_of(net, inputs, part, uv, sizes, bf16=False)
        out = net(inputs)
        truth, place = by_cell(part[:, None])[:, 0].long(), by_cell(uv)
        nats = F.cross_entropy(part_logits(out), truth, reduction="none", ignore_index=IGNORE)
        weight = torch.where(truth == IGNORE, 0.0, torch.where(truth == 0, BACKGROUND, 1.0))
        body = (truth > 0) & (truth <= PARTS)
        off = F.smooth_l1_loss(uv_on(out, truth.clamp(1, PARTS)), place, beta=BETA, reduction="none")
        metres = (off * sizes[:, truth * body].transpose(0, 1)).sum(1)[body]
    assert loss.part.item() == pytest.approx((nats * weight).sum().item() / weight.sum().item(), rel=1e-4)
    assert loss.place.item() == pytest.approx(metres.mean().item(), rel=1e-4)
    assert loss.total.item() == pytest.approx(loss.part.item() + PLACE * loss.place.item(), rel=1e-5)


def test_cells_that_neither_mask_nor_body_reaches_are_left_out():
    inputs, part, _ = toy_batch(1)
    part[:] = 0
    inputs[:, MASK] = 0
    inputs[:, MASK, 20, 30] = 0.5
    cells, spare = chosen_cells(inputs, by_cell(part[:, None])[:, 0])
    assert len(cells) % 4096 == 0
    chosen = {divmod(cell, 64) for cell in cells[: len(cells) - spare].tolist()}
    assert chosen == {(row, column) for row in (19, 20, 21) for column in (29, 30, 31)}


def test_charts_are_as_large_as_parts_of_a_body():
    sizes = chart_sizes(load())
    assert sizes.shape == (2, PARTS + 1)
    assert (sizes[:, 0] == 0).all()
    assert (sizes[:, 1:] > 0.08).all()
    assert (sizes[:, 1:] < 1.2).all()
    left, right = sizes[:, [4, 5, 8, 10, 12, 14]], sizes[:, [3, 6, 7, 9, 11, 13]]
    np.testing.assert_allclose(left, right, rtol=0.02)


# -- the schedule


def test_the_rate_rises_and_falls():
    settings = Settings(samples=1_000_000, batch=64, lr=1.0)
    assert rate_at(0, settings, 20_000) < 0.01
    assert rate_at(20_000, settings, 20_000) == pytest.approx(1.0, abs=0.01)
    assert rate_at(500_000, settings, 20_000) == pytest.approx(0.5)
    assert rate_at(1_000_000, settings, 20_000) == 0
    assert 0 < rate_at(64, Settings(samples=1000), 20_000) <= 2.5e-3  # shorter than the warm-up


def test_one_source_of_knowledge_is_left_out_now_and_then():
    inputs = torch.ones(20_000, CHANNELS, 1, 1)
    out = with_gaps(inputs, torch.Generator().manual_seed(0))
    assert inputs.all()
    for group, share in DROPPED.items():
        missing = torch.stack([(out[:, channels] == 0).all(1) for channels in GROUPS[group]]).all(0)
        assert missing.float().mean() == pytest.approx(share, abs=0.005)
        rest = [each for other in GROUPS if other != group for each in GROUPS[other]]
        assert all(out[missing.flatten()][:, channels].all() for channels in rest)


# -- validation


def test_an_untrained_net_is_judged_as_the_baseline():
    inputs, part, uv = next(ToySource().batches(0, 0, 2))
    right = part.copy()
    right[right > 0] = by_cell_back(inputs)[right > 0]
    uv[:, 0], uv[:, 1] = 0.3, 0.6
    net = Correspondence()
    wrong = figures(counted(net, [(inputs, part, uv)], torch.device("cpu")))
    assert 0.5 < wrong.part_accuracy < 1
    assert wrong.mean_cm > 5
    exact = figures(counted(net, [(inputs, right, uv)], torch.device("cpu")))
    assert exact.part_accuracy == 1
    assert exact.median_cm == pytest.approx(0.05)
    assert exact.mean_cm < 1e-3


def by_cell_back(inputs: np.ndarray) -> np.ndarray:
    """The baseline's part, (N, 128, 128)."""
    return F.pixel_shuffle(torch.from_numpy(inputs[:, 4:8]), 2)[:, 0].numpy().astype(np.uint8)


# -- checkpoints


def saved(folder: Path) -> Path:
    net = Correspondence()
    optimiser = optimiser_of(net, DENSE.weight_decay)
    sum(parameter.sum() for parameter in net.parameters()).backward()
    optimiser.step()
    save_checkpoint(folder / CHECKPOINT, Progress(4, 1, 0.5, 7), net, copy.deepcopy(net), optimiser)
    return folder / CHECKPOINT


def test_a_checkpoint_comes_back(tmp_path: Path):
    path = saved(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [CHECKPOINT]
    net, ema = Correspondence(), Correspondence()
    optimiser = optimiser_of(net, DENSE.weight_decay)
    assert load_checkpoint(path, DENSE.name, net, ema, optimiser) == Progress(4, 1, 0.5, 7)
    assert torch.equal(net.prior, ema.prior)
    assert optimiser.state[net.prior]["step"] == 1
    assert torch.equal(optimiser.state[net.prior]["exp_avg"], torch.full((25,), 0.1))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "not a checkpoint of dense-s"),
        (lambda path: save_file({"a": torch.zeros(1)}, path), "not a checkpoint of bodystream training/1"),
        (lambda path: save_file(*without(path, "net.prior")), "not a checkpoint of dense-s"),
        (
            lambda path: save_file(*without(path, "exp_avg.prior")),
            "not a checkpoint of dense-s: 'exp_avg.prior'",
        ),
    ],
    ids=["cut off", "something else", "no weight", "no moment"],
)
def test_a_spoilt_checkpoint_is_refused_in_one_line(tmp_path: Path, spoil: Callable[[Path], None], told: str):
    path = saved(tmp_path)
    spoil(path)
    net = Correspondence()
    with pytest.raises(WeightsCorrupt, match=told) as error:
        load_checkpoint(path, DENSE.name, net, Correspondence(), optimiser_of(net, DENSE.weight_decay))
    assert "\n" not in str(error.value)


def without(path: Path, name: str) -> tuple[dict[str, torch.Tensor], Path, dict[str, str]]:
    tensors = load_file(path)
    del tensors[name]
    progress = '{"samples": 4, "step": 1, "wall_s": 0.5, "seed": 7}'
    return tensors, path, {"format": "bodystream training/1", "progress": progress}


def test_no_checkpoint_to_go_on_from(tmp_path: Path):
    with pytest.raises(WeightsMissing, match="no checkpoint to go on from; leave --resume out"):
        train(DENSE, ToySource(), ToySource(), tmp_path, TOY, resume=True)


# -- the loop


def test_it_learns_from_200_samples(tmp_path: Path):
    lines: list[Report] = []
    settings = Settings(samples=200, batch=4, lr=5e-3, validate_every=100, held_out=16)
    done = train(DENSE, ToySource(), ToySource(), tmp_path, settings, listener=Listener(line=lines.append))
    assert (done.samples, done.step) == (200, 50)
    assert [line.samples for line in lines] == [0, 100, 200]
    first, middle, last = curve(tmp_path)
    assert last["loss"] < 0.6 * middle["loss"]
    assert last["median_cm"] < first["median_cm"]
    assert last["part_accuracy"] > 0.95 > first["part_accuracy"]
    assert [line.line() for line in lines] == [first, middle, last]
    assert first["loss"] is None
    assert load_correspondence(tmp_path / WEIGHTS).prior.shape == (25,)


def test_an_interrupted_run_that_goes_on_ends_as_one_that_was_not(tmp_path: Path):
    settings = Settings(samples=48, batch=4, lr=1e-2, held_out=16)
    train(DENSE, ToySource(), ToySource(), tmp_path / "whole", settings)
    steps: list[int] = []
    halfway = Listener(step=lambda done, _: steps.append(done), interrupted=lambda: len(steps) >= 4)
    done = train(DENSE, ToySource(), ToySource(), tmp_path / "parts", settings, listener=halfway)
    assert done.samples == 20  # the step in which it is noticed is the last
    train(DENSE, ToySource(), ToySource(), tmp_path / "parts", settings, resume=True)
    one, other = (load_file(tmp_path / name / CHECKPOINT) for name in ("whole", "parts"))
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name
    assert [line["samples"] for line in curve(tmp_path / "parts")] == [0, 20, 48]


def test_two_processes_learn_together(tmp_path: Path):
    settings = Settings(samples=48, batch=4, held_out=32, processes=2)
    train(DENSE, ToySource(), ToySource(), tmp_path / "one", settings)
    train(DENSE, ToySource(), ToySource(), tmp_path / "two", settings)
    one, other = (load_file(tmp_path / name / WEIGHTS) for name in ("one", "two"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    assert len(curve(tmp_path / "one")) == 2


def test_a_time_limit_is_kept(tmp_path: Path):
    ticks = itertools.count()
    settings = Settings(samples=4000, batch=4, held_out=16, minutes=1)
    done = train(DENSE, ToySource(), ToySource(), tmp_path, settings, clock=lambda: 10.0 * next(ticks))
    assert 0 < done.samples < 40
    assert (tmp_path / CHECKPOINT).exists()


def test_a_run_is_not_written_over(tmp_path: Path):
    saved(tmp_path)
    with pytest.raises(OutputExists, match="holds a training run; add --resume to go on"):
        train(DENSE, ToySource(), ToySource(), tmp_path, TOY)


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path):
    with pytest.raises(
        TrainingFailed, match="the loss is nan after 0 samples; go on from the last checkpoint"
    ):
        train(DENSE, ToySource("nan"), ToySource(), tmp_path, TOY)
    assert not (tmp_path / WEIGHTS).exists()


def test_a_process_that_fails_is_told_of(tmp_path: Path):
    settings = Settings(samples=48, batch=4, held_out=16, processes=2)
    with pytest.raises((TrainingFailed, ValueError), match="a fault of the source"):
        train(DENSE, ToySource("raise"), ToySource(), tmp_path, settings)


def test_wrong_requests(tmp_path: Path):
    with pytest.raises(UsageError, match="a batch of 5 cannot be shared by 2 processes"):
        train(DENSE, ToySource(), ToySource(), tmp_path, Settings(batch=5, processes=2))
    with pytest.raises(UsageError, match="--device gpu: expected auto, cpu or cuda"):
        hardware("gpu", None)
    assert hardware("cpu", 3)[:3] == (3, 0, "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceUnavailable, match="torch finds no GPU here"):
            hardware("cuda", None)


def test_the_weights_that_are_used_keep_half_of_the_offsets(tmp_path: Path):
    net = Correspondence()
    nn.init.constant_(net.shifts.weight, 1.0)
    save_weights(tmp_path / WEIGHTS, weights(net), Progress())
    kept = load_correspondence(tmp_path / WEIGHTS).shifts.weight
    assert (kept[:8] == OFFSETS_KEPT).all() and (kept[8:] == 1).all()
    assert (net.shifts.weight == 1).all()  # the net that goes on learning is left as it is
