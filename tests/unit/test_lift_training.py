"""What lift-s learns from: motion, people before cameras, the landmark net's errors and how they are measured."""

from dataclasses import fields, replace
from itertools import islice

import numpy as np
import pytest
import torch

from bodystream.errors import SourceNotFound, SourceUnreadable
from bodystream.models.body.skeleton import PARENTS
from bodystream.models.keypoints import KEYPOINTS
from bodystream.models.lift_input import seen
from bodystream.models.lift_layout import HIPS, INPUTS, LANDMARKS, NOSE, SIZE_M, SURE, WORLD
from bodystream.models.nets.lift import Lift
from bodystream.training.lift.clips import LEARNT, Clip, examples, kept, pairs, read_clips, scene_of, write
from bodystream.training.lift.measure import fit
from bodystream.training.lift.noise import Errors, Fitted, HandSet, Mixed, by_doubt, landmarks, views
from bodystream.training.lift.people import Scene, scene
from bodystream.training.lift.task import (
    BONES,
    NOISES,
    People,
    aligned,
    counted,
    errors_mm,
    figures,
    loss,
)
from bodystream.training.motion import between, mirror, rotations, windows, with_arms
from bodystream.training.poses import Motion


@pytest.fixture(scope="module")
def people() -> Scene:
    rng = np.random.default_rng(3)
    return scene(windows(None, 64, 1, rng)[:, 0], rng)


def moving(frames: int = 40) -> Motion:
    """Two sequences of somebody who turns about the vertical by 6° a frame, one of each subject."""
    turns = rotations(np.array([[0, np.radians(6) * i, 0] for i in range(frames)]))
    whole = np.repeat(turns[:, None], len(PARENTS), axis=1)
    return Motion(
        np.concatenate([whole, whole]),
        np.array(["one"] * frames + ["two"] * frames),
        np.repeat([0, 1], frames),
        np.ones(2 * frames, bool),
    )


# -- motion


def test_windows_are_turns_and_follow_from_the_seed():
    turns = windows(moving(), 40, 6, np.random.default_rng(0))
    assert turns.shape == (40, 6, 17, 3, 3)
    assert np.allclose(turns @ turns.swapaxes(-1, -2), np.eye(3), atol=1e-5)
    assert np.allclose(np.linalg.det(turns), 1, atol=1e-5)
    assert np.array_equal(turns, windows(moving(), 40, 6, np.random.default_rng(0)))
    assert not np.array_equal(turns, windows(moving(), 40, 6, np.random.default_rng(1)))


def test_motion_is_played_at_its_rate(monkeypatch):
    """15 Hz is played at 30: 6° a stored frame are 3° a step, at most 1.3 times as fast; it holds its first frame."""
    from bodystream.training import motion

    monkeypatch.setattr(motion, "OTHER_ARMS", 0.0)
    turns = motion._captured(moving(), 200, 5, np.random.default_rng(0))[:, :, 0]
    step = turns[:, 1:] @ turns[:, :-1].swapaxes(-1, -2)
    angle = np.degrees(np.arccos(np.clip((np.trace(step, axis1=-2, axis2=-1) - 1) / 2, -1, 1)))
    assert angle.max() < 3 * 1.31
    assert np.median(angle) == pytest.approx(3, abs=0.4)
    assert (angle < 0.01).any()


def test_those_who_are_held_out_are():
    motion = moving()
    assert set(motion.of(["one"]).subjects) == {"one"}
    assert set(motion.without(["one"]).subjects) == {"two"}
    assert motion.without(["one"]).starts.tolist() == [0] * 40
    assert motion.starts.tolist() == [0] * 40 + [40] * 40


def test_half_way_between_turns():
    first, second = rotations(np.array([[0, 0, 0.0], [0, 0, 0.6]]))
    middle = between(first, second, np.float32(0.5))
    assert np.allclose(middle, rotations(np.array([0, 0, 0.3])), atol=1e-6)


def test_mirrored_twice_is_as_before():
    turns = windows(None, 3, 1, np.random.default_rng(0))[:, 0]
    assert np.allclose(mirror(mirror(turns)), turns)
    assert np.allclose(with_arms(turns, turns), turns, atol=1e-5)


# -- people


def test_bones_keep_their_lengths_in_every_pose():
    rng = np.random.default_rng(0)
    poses = windows(None, 1, 1, rng)[:, 0].repeat(8, axis=0)
    poses[1:] = windows(None, 7, 1, rng)[:, 0]
    joints = scene(poses, np.random.default_rng(5)).joints
    again = scene(poses[::-1], np.random.default_rng(5)).joints  # the same bodies in other poses
    limbs = [pair for pair in BONES if NOSE not in pair][:8]
    for a, b in limbs:
        lengths = [np.linalg.norm(each[:, a] - each[:, b], axis=1) for each in (joints, again)]
        assert np.allclose(*lengths, atol=2e-3)  # a shoulder is not quite where its arm begins
    assert np.allclose(joints[:, HIPS].mean(1), 0, atol=1e-6)


def test_people_stand_in_the_picture_at_their_distance(people: Scene):
    far = people.depth * people.size_m
    assert far.min() > 1 and far.max() < 9
    assert people.inside.mean() > 0.7
    assert 1.0 < np.median(people.size_m) < 1.6


# -- errors


def test_without_errors_the_world_is_the_truth_of_the_view(people: Scene):
    upright, view = views(people)
    sure = np.ones((64, 15), np.float32)
    right = replace(people, misjudged=np.ones(64, np.float32))
    told = landmarks(right, upright, np.zeros((64, 15, 2), np.float32), sure, np.float32(SIZE_M) * view)
    found = seen(told.rays, told.sure, told.world)
    truth = people.joints @ found.turns.swapaxes(1, 2)
    assert np.allclose(found.inputs[:, WORLD].reshape(64, 15, 3), truth, atol=1e-5)


@pytest.mark.parametrize("name", list(NOISES))
def test_errors_are_of_the_size_of_the_landmark_nets(name: str):
    batch = next(People(None, NOISES[name]).batches(0, 0, 512))
    inputs, truth = batch
    assert (inputs.shape, inputs.dtype) == ((512, INPUTS), np.float32)
    assert (truth.shape, truth.dtype) == ((512, 15, 3), np.float32)
    assert np.isfinite(inputs).all()
    assert (inputs[:, SURE] >= 0).all() and (inputs[:, SURE] <= 1).all()
    found = figures(counted(Lift(), [batch], torch.device("cpu")))
    assert 55 < found["raw_pa_mm"] < 140
    assert 80 < found["raw_mpjpe_mm"] < 200
    assert found["raw_depth_mm"] > 0.6 * found["raw_mpjpe_mm"]
    assert found["pa_mm"] == pytest.approx(found["raw_pa_mm"], rel=1e-4)


def test_batches_follow_from_seed_and_rank():
    source = People(None, HandSet())
    one, two = islice(source.batches(3, 0, 4), 2)
    assert np.array_equal(next(source.batches(3, 0, 4))[0], one[0])
    assert not np.array_equal(one[0], two[0])
    assert not np.array_equal(next(source.batches(3, 1, 4))[0], one[0])


def plain(linear: np.ndarray) -> Errors:
    """One net that says `linear` of everybody, surely and exactly."""
    zero = np.zeros((1, 90), np.float32)
    return Errors(
        linear[None].astype(np.float32),
        np.full((1, 15), 9, np.float32),
        zero[..., None],
        zero,
        np.zeros((1, 2), np.float32),
        np.zeros((1, 2), np.float32),
    )


def test_fitted_errors_say_what_the_map_says(people: Scene):
    linear = np.zeros((75, 46))
    linear[:45, :45] = np.diag(np.tile([1.0, 1.0, 0.5], 15))
    right = replace(people, misjudged=np.ones(64, np.float32))
    told = Fitted(plain(linear))(right, np.random.default_rng(0))
    assert np.allclose(told.rays, people.rays, atol=1e-6)
    _, view = views(people)
    assert np.allclose(told.world[..., 2], SIZE_M * 0.5 * view[..., 2], atol=1e-5)


def test_mixed_errors_are_of_both(people: Scene):
    linear = np.zeros((75, 46))
    told = Mixed((HandSet(), Fitted(plain(linear))))(people, np.random.default_rng(0))
    nothing = (np.abs(told.world) < 1e-6).all((1, 2))
    assert 10 < nothing.sum() < 54
    assert told.rays.shape == people.rays.shape


def test_doubt_makes_errors_larger():
    times = by_doubt(np.array([[-2.0] + [0.0] * 14], np.float32), np.array([0.1, 0.2], np.float32))
    assert times.shape == (1, 75)
    assert np.allclose(times[0, :3], np.exp(0.2)) and np.allclose(times[0, 3:45], 1)
    assert np.allclose(times[0, 45:47], np.exp(0.4)) and np.allclose(times[0, 47:], 1)


# -- how they are measured


def clips_of(linear: np.ndarray, count: int, deviation: float) -> Clip:
    """Clips of three frames in which a net says `linear`, and errs by that much of SIZE_M, the same all clip long."""
    rng = np.random.default_rng(0)
    steps = 3
    poses = windows(None, count, steps, rng).reshape(-1, 17, 3, 3)
    one = scene(poses[::steps], np.random.default_rng(1))
    joints = one.joints[:, None].repeat(steps, axis=1) * one.size_m[:, None, None, None]
    joints = joints + np.array([0, 0, 4], np.float32)
    truth = np.zeros((count, steps, len(KEYPOINTS), 3), np.float32)
    truth[:, :, list(LANDMARKS)] = joints
    clip = Clip(
        truth,
        np.full(count, 900, np.float32),
        np.full((count, 2), 2000),
        np.ones((count, 2, steps, len(KEYPOINTS), 3), np.float32),
        np.zeros((count, 2, steps, len(KEYPOINTS), 3), np.float32),
    )
    errors = replace(plain(linear), own=np.array([[deviation] * 45 + [0.0] * 45], np.float32))
    told = Fitted(errors)(scene_of(clip), np.random.default_rng(2))
    first = {each.name: getattr(told, each.name)[::steps] for each in fields(told)}
    pixels = 900 * first["rays"] + 1000
    clip.landmarks[:, :, :, list(LANDMARKS), :2] = pixels[:, None, None]
    clip.world[:, :, :, list(LANDMARKS)] = first["world"][:, None, None]
    return clip


def test_the_fit_finds_errors_that_were_put_in(capsys):
    linear = np.zeros((75, 46))
    linear[:45, :45] = np.diag(np.tile([0.9, 0.9, 0.5], 15))
    clip = clips_of(linear, 500, 0.02)
    joints, told, _ = pairs(clip, 0)
    assert joints.shape == (1500, 45) and told.shape == (1500, 75)
    found = fit([clip])
    assert found.linear.shape == (2, 75, 46)
    known = np.concatenate([joints, np.ones_like(joints[..., :1])], -1)
    off = known @ (found.linear[0] - linear).T.astype(np.float32)
    assert np.abs(off[..., :45]).mean() < 0.01
    assert np.abs(off[..., 45:]).mean() < 0.1
    covariance = found.factor[0] @ found.factor[0].T + np.diag(found.own[0] ** 2)
    across = np.sqrt(np.diag(covariance)[:45])[9 * 3 : 12 * 3]  # knees and ankles
    # 0.02 of the joint and, as the origin, half of each hip's
    assert across.mean() == pytest.approx(0.02 * np.sqrt(1.5), rel=0.1)
    assert "anew from frame to frame: world 0.00" in capsys.readouterr().out


def test_frames_in_which_something_else_is_seen_are_left_out():
    clip = clips_of(np.eye(75, 46), 20, 0.0)
    clip.landmarks[3, 0, 1, :, :2] += 300
    good = kept(clip, 0).reshape(20, 3)
    assert not good[3, 1] and good.sum() == 59
    assert kept(clip, 1).all()
    inputs, joints = examples(clip, 0)
    assert inputs.shape == (59, INPUTS) and joints.shape == (59, 15, 3)
    # the net says that everybody is as they are
    assert np.allclose(inputs[:, WORLD].reshape(-1, 15, 3), joints, atol=1e-3)


def test_clips_are_found_in_folders_below(tmp_path):
    clip = clips_of(np.eye(75, 46), 3, 0.0)
    with pytest.raises(SourceNotFound, match=r"no learnt\.npz in .*lift\.measure"):
        read_clips(tmp_path, LEARNT)
    (tmp_path / "one").mkdir()
    write(tmp_path / "one" / LEARNT, clip._asdict())
    (back,) = read_clips(tmp_path, LEARNT)
    assert np.array_equal(back.truth, clip.truth)
    (tmp_path / LEARNT).write_bytes(b"none")
    with pytest.raises(SourceUnreadable, match=r"a learnt\.npz that is none"):
        read_clips(tmp_path, LEARNT)


# -- the measure


def test_a_moved_turned_and_scaled_pose_is_none_off_after_alignment():
    torch.manual_seed(0)
    truth = torch.randn(4, 15, 3)
    turn = torch.from_numpy(rotations(np.array([[0.3, 1.0, -2.0]])))[0]
    found = 0.7 * truth @ turn.T + torch.tensor([1.0, 2.0, 3.0])
    assert torch.allclose(aligned(found, truth), truth, atol=1e-5)
    mirrored = truth * torch.tensor([1.0, 1.0, -1.0])
    assert (aligned(mirrored, truth) - truth).norm(dim=-1).mean() > 0.3  # a mirror image is no turn
    off = errors_mm(truth + torch.tensor([0.0, 0.0, 0.1]), truth)
    assert torch.allclose(off, torch.tensor([[100 * SIZE_M, 0.0, 100 * SIZE_M]]).expand(4, 3), atol=0.02)


def test_the_loss_is_that_of_joints_and_bones():
    truth = torch.zeros(2, 15, 3)
    inputs = torch.zeros(2, INPUTS)
    inputs[:, WORLD] = torch.tensor([0.0, 0.0, 0.1]).repeat(15)
    inputs[:, WORLD.start + 3 * HIPS.start : WORLD.start + 3 * HIPS.stop] = 0
    total, joints, bones = loss(Lift(), (inputs, truth), torch.Generator(), False).tolist()
    assert joints == pytest.approx(0.1 * 13 / 15, rel=1e-3)
    touching = sum((a in (6, 7)) != (b in (6, 7)) for a, b in BONES)
    assert bones == pytest.approx(0.1 * touching / len(BONES), rel=1e-2)
    assert total == pytest.approx(joints + 0.3 * bones, rel=1e-5)
