"""Synthetic people: poses, errors, masks and samples."""

from itertools import islice

import numpy as np
import pytest

from bodystream.errors import SourceNotFound, SourceUnreadable
from bodystream.models.body.data import load
from bodystream.models.body.kinematics import posed, rest_lengths, skeleton_of
from bodystream.models.body.pose import unit
from bodystream.models.body.skeleton import LEFT, RIGHT, landmark
from bodystream.models.dense_layout import CHANNELS, GRID
from bodystream.training import errors
from bodystream.training.dense.generator import IGNORE, Generator, Sample
from bodystream.training.dense.silhouette import seen_mask
from bodystream.training.people import articulated
from bodystream.training.poses import (
    Poses,
    about_x,
    about_y,
    jittered_pose,
    mirrored_pose,
    read_poses,
    sampled_pose,
)
from tests.motion import archive


def taken(generator: Generator, count: int, seed: int = 0, rank: int = 0) -> list[Sample]:
    return list(islice(generator.samples(seed, rank, together=4), count))


def test_everything_follows_from_seed_and_rank():
    one, same, other = (
        taken(Generator(None, looks=looks), 8, seed, rank)
        for looks, seed, rank in ((3, 7, 1), (3, 7, 1), (3, 7, 2))
    )
    for a, b in zip(one, same, strict=True):
        assert np.array_equal(a.view.mask, b.view.mask) and np.array_equal(a.part, b.part)
        assert np.array_equal(a.input(), b.input())
    assert any(not np.array_equal(a.part, b.part) for a, b in zip(one, other, strict=True))


def test_batches_are_what_the_training_asks_for():
    inputs, parts, uvs = next(Generator(None).batches(0, 0, 3))
    assert inputs.shape == (3, CHANNELS, 64, 64) and inputs.dtype == np.float32 and np.isfinite(inputs).all()
    assert parts.shape == (3, GRID, GRID) and parts.dtype == np.uint8
    assert uvs.shape == (3, 2, GRID, GRID) and uvs.min() >= 0 and uvs.max() <= 1
    assert ((parts <= 24) | (parts == IGNORE)).all()


def test_without_errors_the_baseline_is_nearly_right():
    right = pixels = 0
    for sample in taken(Generator(None, exact=True), 12):
        asked = (sample.part > 0) & (sample.part <= 24)
        assert asked.sum() > 300
        assert ((sample.view.mask > 127) >= asked).all()
        right += int((sample.baseline.part[asked] == sample.part[asked]).sum())
        pixels += int(asked.sum())
    assert right / pixels > 0.8


def test_with_errors_it_is_worse_but_no_nonsense():
    shares = []
    for sample in taken(Generator(None), 16):
        asked = (sample.part > 0) & (sample.part <= 24) & (sample.view.mask > 127)
        shares.append((sample.baseline.part[asked] == sample.part[asked]).mean())
    assert 0.5 < np.mean(shares) < 0.85


def test_leaning_and_turning():
    up, ahead = np.array([0, -1, 0]), np.array([0, 0, -1])
    assert (about_x(0.5) @ up)[2] < 0  # leaning forward brings the head towards the viewer
    assert np.allclose(about_y(np.asarray(np.pi)) @ ahead, [0, 0, 1], atol=1e-6)


def test_mirroring_twice_is_nothing():
    turns = sampled_pose(np.random.default_rng(0))
    assert np.allclose(mirrored_pose(mirrored_pose(turns)), turns, atol=1e-6)
    assert np.allclose(np.linalg.det(mirrored_pose(turns)), 1, atol=1e-4)


def test_toes_point_to_the_front_of_the_shank_however_far_the_knee_is_bent():
    """The thigh lies in front of a bent knee's shank, as the toes do."""
    rng = np.random.default_rng(5)
    turns = np.stack([sampled_pose(rng) for _ in range(300)])
    names = ("left_hip", "left_knee", "left_ankle", "left_heel", "left_foot_index")
    _, marks = posed(skeleton_of(rest_lengths()), turns, np.zeros((300, 3), np.float32))
    hip, knee, ankle, heel, toe = (marks[:, landmark(name)] for name in names)
    thigh, shank = unit(knee - hip), unit(ankle - knee)
    cosine = (thigh * shank).sum(1)
    assert (cosine < np.cos(np.radians(95))).sum() > 10  # some knees are folded
    bent = cosine < np.cos(np.radians(20))
    ahead = thigh - cosine[:, None] * shank
    assert (((toe - heel) * ahead).sum(1)[bent] > 0).mean() > 0.99  # an ankle turns in and out, too


@pytest.mark.parametrize("seed", range(12))
def test_sampled_poses_are_rotations_within_limits(seed):
    rng = np.random.default_rng(seed)
    turns = jittered_pose(sampled_pose(rng), rng)
    assert turns.shape == (17, 3, 3) and np.allclose(turns @ turns.swapaxes(1, 2), np.eye(3), atol=1e-4)
    joints = articulated(turns, load().joints[:, 0])
    ends = [(joints[i] @ np.append(load().joints[i, 1], 1)) for i in range(17)]
    starts = [(joints[i] @ np.append(load().joints[i, 0], 1)) for i in range(17)]
    for begin in (LEFT, RIGHT):  # a knee never bends forward
        thigh, shank = (ends[begin + 4 + i] - starts[begin + 4 + i] for i in (0, 1))
        forward = turns[begin + 4] @ [0, 0, -1]
        assert shank @ forward < 0.6 * np.linalg.norm(shank) or shank @ thigh > 0


def test_motion_capture_comes_in_the_persons_own_frame(tmp_path):
    archive(tmp_path)
    poses = read_poses(tmp_path)
    assert poses.turns.shape == (12, 17, 3, 3)
    assert list(np.unique(poses.subjects)) == ["42", "dance salsa"]
    assert np.allclose(poses.turns[0], poses.turns[5], atol=1e-2)  # the heading is taken away
    pelvis = poses.turns[0, 0]
    assert np.allclose(pelvis @ [0, 0, -1], [0, 0, -1], atol=0.15)
    arm = poses.turns[0, LEFT] @ (load().joints[LEFT, 1] - load().joints[LEFT, 0])
    assert arm[0] > 0.9 * np.linalg.norm(arm)  # level to the left, which is +x
    assert poses.chances.sum() == pytest.approx(1)
    assert len(poses.of(["42"]).turns) == len(poses.without(["42"]).turns) == 6
    sample = next(Generator(poses).samples(0))
    assert sample.part.any()


def test_missing_and_broken_archives(tmp_path):
    with pytest.raises(SourceNotFound, match=r"cmu_poses\.npz"):
        read_poses(tmp_path)
    archive(tmp_path)
    (tmp_path / "cmu_poses.npz").write_bytes(b"PK nothing")
    with pytest.raises(SourceUnreadable, match="no archive of poses"):
        read_poses(tmp_path)


def test_a_subject_counts_as_the_square_root_of_their_poses():
    poses = Poses(np.zeros((5, 17, 3, 3), np.float32), np.array(["a", "b", "b", "b", "b"]))
    assert np.allclose(poses.chances, [1 / 3, *[1 / 6] * 4])


def test_errors_are_larger_where_nothing_is_seen():
    rng = np.random.default_rng(0)
    points = np.zeros((33, 2), np.float32)
    points[[11, 12], 1] = -60  # a torso of 60 px
    seen, unseen = np.zeros(33, bool), np.ones(33, bool)
    wrist = landmark("left_wrist")
    spread = {
        name: np.std([errors.disturbed(points, hidden, outside, 1.0, rng)[wrist, 0] for _ in range(200)])
        for name, hidden, outside in (
            ("seen", seen, seen),
            ("hidden", unseen, seen),
            ("outside", seen, unseen),
        )
    }
    assert spread["seen"] < spread["hidden"] < spread["outside"]
    sure = errors.disturbed(points, seen, unseen, 1.0, rng)[:, 2]
    assert sure.max() <= 0.4


def test_world_landmarks_stay_centred_on_the_hips():
    rng = np.random.default_rng(1)
    world = rng.normal(0, 0.3, (33, 3)).astype(np.float32)
    found = errors.disturbed_world(world, np.ones((33, 3), np.float32), rng)
    assert np.allclose(found[[23, 24], :3].mean(0), 0, atol=1e-5)
    assert 0.02 < np.abs(found[:, :3] - world).mean() < 0.4


def test_masks_keep_most_of_the_body():
    rng = np.random.default_rng(0)
    body = np.zeros((GRID, GRID), bool)
    body[20:110, 50:80] = True
    ends = np.array([[50, 60], [80, 60], [55, 108], [75, 108]], np.float32)
    shares, soft = [], []
    for _ in range(60):
        mask, covered = seen_mask(body, ends, rng)
        assert mask.dtype == np.uint8 and mask.shape == body.shape
        shares.append((mask > 127)[body & ~covered].mean())
        soft.append(((mask > 12) & (mask < 243)).mean())
    assert np.mean(shares) > 0.93 and 0 < np.mean(soft) < 0.1
