import numpy as np
import pytest

from bodystream.models.body.data import load
from bodystream.models.body.kinematics import (
    JOINT_PARENTS,
    JOINTS,
    OWNER,
    global_turns,
    height_of,
    joint_confidence,
    joints_at,
    local_turns,
    matrices,
    posed,
    quaternions,
    skeleton_of,
)
from bodystream.models.body.pose import turns_of
from bodystream.models.body.skeleton import BONES, PARENTS, SEGMENTS, bone_lengths, landmark
from bodystream.models.body.skin import landmarks_on
from bodystream.models.keypoints import KEYPOINTS
from bodystream.training.poses import sampled_pose

REST = landmarks_on(load().vertices)
SURE = np.ones(33, np.float32)
LENGTHS = bone_lengths(REST, SURE)
# A short torso, wide hips, long legs: nobody's proportions, so that nothing fits by chance.
ODD = (LENGTHS * [0.9, 1.1, 1.2, 0.95, 1.05, 1.1, 1.15]).astype(np.float32)


def some_turns(seed: int, count: int = 1):
    rng = np.random.default_rng(seed)
    return np.stack([sampled_pose(rng) for _ in range(count)])


def test_skeleton_of_the_rest_body_lies_in_it():
    skeleton = skeleton_of(LENGTHS)
    assert skeleton.landmarks == pytest.approx(REST, abs=2e-3)
    assert skeleton.starts == pytest.approx(load().joints[:, 0], abs=2e-3)


def test_skeleton_has_the_lengths_it_was_given():
    skeleton = skeleton_of(ODD)
    assert bone_lengths(skeleton.landmarks, SURE) == pytest.approx(ODD, abs=1e-5)


def test_skeleton_is_mirror_symmetric():
    skeleton = skeleton_of(ODD)
    left, right = skeleton.starts[3:10], skeleton.starts[10:]
    assert left * [-1, 1, 1] == pytest.approx(right, abs=1e-6)


def test_many_skeletons_are_those_of_each():
    both = skeleton_of(np.stack([LENGTHS, ODD]))
    assert both.landmarks[1] == pytest.approx(skeleton_of(ODD).landmarks)
    assert both.starts.shape == (2, 17, 3)


def test_height_grows_with_the_long_bones_alone():
    assert height_of(LENGTHS) == pytest.approx(1.755, abs=1e-3)
    assert height_of(1.1 * LENGTHS) == pytest.approx(1.1 * 1.755, abs=1e-3)
    wide = LENGTHS * np.where(np.isin(BONES, ["hips", "shoulders"]), 2, 1)
    assert height_of(wide.astype(np.float32)) == pytest.approx(1.755, abs=1e-3)


def test_rest_pose_is_no_turn_at_all():
    skeleton = skeleton_of(ODD)
    eye = np.broadcast_to(np.eye(3, dtype=np.float32), (17, 3, 3))
    starts, landmarks = posed(skeleton, eye, np.array([1, 2, 3], np.float32))
    assert starts - [1, 2, 3] == pytest.approx(skeleton.starts, abs=1e-6)
    assert landmarks - [1, 2, 3] == pytest.approx(skeleton.landmarks, abs=1e-6)


def test_bent_knee_by_hand():
    """A left shank turned by a right angle about the person's x takes the foot to the back, and nothing else."""
    skeleton, turns = skeleton_of(LENGTHS), np.stack([np.eye(3, dtype=np.float32)] * 17)
    bent = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)  # y, down, becomes z, back
    for name in ("left_shank", "left_foot"):
        turns[SEGMENTS.index(name)] = bent
    _, landmarks = posed(skeleton, turns, np.zeros(3, np.float32))
    knee, ankle = landmarks[landmark("left_knee")], landmarks[landmark("left_ankle")]
    before = skeleton.landmarks[landmark("left_ankle")] - skeleton.landmarks[landmark("left_knee")]
    assert ankle - knee == pytest.approx([before[0], -before[2], before[1]], abs=1e-6)
    others = [
        i for i, name in enumerate(KEYPOINTS) if name not in ("left_ankle", "left_heel", "left_foot_index")
    ]
    assert landmarks[others] == pytest.approx(skeleton.landmarks[others], abs=1e-6)


def test_bones_keep_their_lengths_in_any_pose():
    turns = some_turns(1, 20)
    _, landmarks = posed(skeleton_of(np.stack([ODD] * 20)), turns, np.zeros((20, 3), np.float32))
    rigid = [i for i, name in enumerate(BONES) if name != "torso"]  # the spine bends
    found = bone_lengths(landmarks, np.ones((20, 33), np.float32))
    assert found[:, rigid] == pytest.approx(np.stack([ODD] * 20)[:, rigid], abs=1e-4)


def test_closed_form_finds_limbs_of_a_posed_skeleton():
    turns = some_turns(2, 10)
    _, landmarks = posed(skeleton_of(np.stack([LENGTHS] * 10)), turns, np.zeros((10, 3), np.float32))
    found = turns_of(landmarks)
    axis = {"left_thigh": "left_hip left_knee", "right_forearm": "right_elbow right_wrist"}
    for segment, ends in axis.items():
        start, end = (REST[landmark(name)] for name in ends.split())
        bone = end - start
        i = SEGMENTS.index(segment)
        assert found[:, i] @ bone == pytest.approx(turns[:, i] @ bone, abs=0.01)


def test_local_turns_and_back():
    turns = some_turns(3, 4)
    local = local_turns(turns)
    assert local[:, 0] == pytest.approx(turns[:, 0])
    knee = SEGMENTS.index("left_shank")
    assert turns[:, PARENTS[knee]] @ local[:, knee] == pytest.approx(turns[:, knee], abs=1e-5)
    assert global_turns(local) == pytest.approx(turns, abs=1e-5)


def test_quaternion_of_a_quarter_turn():
    about_z = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    assert quaternions(about_z) == pytest.approx([np.sqrt(0.5), 0, 0, np.sqrt(0.5)])


@pytest.mark.parametrize("turned", [[-1, -1, 1], [-1, 1, -1], [1, -1, -1], [1, 1, 1]])
def test_quaternions_of_half_turns_come_back(turned):
    half = np.diag(np.array(turned, np.float32))
    assert matrices(quaternions(half)) == pytest.approx(half, abs=1e-6)


def test_quaternions_and_back():
    turns = some_turns(4, 50)
    found = quaternions(turns)
    assert (found[..., 0] >= 0).all()
    assert matrices(found) == pytest.approx(turns, abs=1e-5)


def test_joints_are_where_their_names_say():
    skeleton = skeleton_of(LENGTHS)
    joints = dict(zip(JOINTS, joints_at(skeleton.starts, skeleton.landmarks), strict=True))
    assert joints["left_knee"] == pytest.approx(REST[landmark("left_knee")], abs=2e-3)
    assert joints["right_toe"] == pytest.approx(REST[landmark("right_foot_index")], abs=2e-3)
    assert joints["pelvis"] == pytest.approx([0, 0, 0])
    assert joints["pelvis"][1] > joints["spine"][1] > joints["neck"][1] > joints["head"][1]  # y is down
    knuckles = REST[[landmark("left_index"), landmark("left_pinky")]].mean(0)
    assert joints["left_hand"] == pytest.approx(knuckles, abs=5e-3)


def test_parents_come_first_and_stay_on_their_side():
    for i, (name, parent) in enumerate(zip(JOINTS, JOINT_PARENTS, strict=True)):
        assert parent < i
        if parent > 0 and "_" in JOINTS[parent]:
            assert JOINTS[parent].split("_")[0] == name.split("_")[0]
    assert len(JOINTS) == 23


def test_landmarks_are_fixed_to_the_segment_before_them():
    owner = {name: SEGMENTS[i] for name, i in zip(KEYPOINTS, OWNER, strict=True)}
    assert owner["left_hip"] == "pelvis"
    assert owner["right_knee"] == "right_thigh"
    assert owner["mouth_left"] == owner["nose"] == "head"
    assert owner["left_thumb"] == "left_hand"


def test_confidence_of_joints():
    confidence = np.zeros(33, np.float32)
    confidence[landmark("left_hip")], confidence[landmark("left_index")] = 0.8, 1.0
    found = dict(zip(JOINTS, joint_confidence(confidence), strict=True))
    assert found["pelvis"] == pytest.approx(0.8)
    assert found["spine"] == found["neck"] == 0
    assert found["left_hand"] == pytest.approx(0.5)
