"""lift-s: what it is given, its start as the landmark net's own joints, all landmarks out of its joints; the stage."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bodystream.errors import WeightsCorrupt
from bodystream.export.prepare import prepare
from bodystream.models.body.data import load
from bodystream.models.body.skeleton import landmark
from bodystream.models.body.skin import landmarks_on
from bodystream.models.lift import JOINTS, LiftNet, whole
from bodystream.models.lift_input import looking, seen, uprighting
from bodystream.models.lift_layout import EXTENT, HIPS, INPUTS, POINTS, SHOULDERS, SIZE_M, SURE, UP, WORLD
from bodystream.models.nets.lift import Lift as LiftModule
from bodystream.models.runtime import open_session
from bodystream.models.weights.lift import load_lift
from bodystream.pipeline.lens import GUESS
from bodystream.pipeline.stages.lift import Lift
from bodystream.pipeline.types import Frame, Person


def rotation(axis: int, degrees: float) -> np.ndarray:
    a, b = [(1, 2), (2, 0), (0, 1)][axis]
    turn = np.eye(3, dtype=np.float32)
    turn[[a, b], [a, b]] = np.cos(np.radians(degrees))
    turn[b, a] = np.sin(np.radians(degrees))
    turn[a, b] = -turn[b, a]
    return turn


BODY = landmarks_on(load().vertices) - landmarks_on(load().vertices)[[23, 24]].mean(0)


def person(turn: np.ndarray, place: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rays (1, 33, 2) of the turned rest body, its points (1, 33, 3) in camera axes, and as a crop shows them."""
    points = BODY @ turn.T
    there = points + place
    rays = (there[:, :2] / there[:, 2:]).astype(np.float32)[None]
    look = looking(rays[:, JOINTS])[0]
    return rays, points.astype(np.float32)[None], (points @ look.T).astype(np.float32)[None]


SURELY = np.ones((1, 33), np.float32)


def as_given(inputs):
    """A session that leaves the landmark net's joints as they are."""
    return [inputs[:, WORLD].reshape(-1, 15, 3)]


def test_the_view_looks_at_the_torso_and_has_it_upright():
    for turn, place in ((rotation(2, 70), (1.5, -0.4, 3.0)), (rotation(1, 130), (-1.0, 0.2, 2.5))):
        rays, _, _ = person(turn, place)
        rays = rays[:, JOINTS]
        look = looking(rays)[0]
        torso = (rays[0, SHOULDERS].mean(0) + rays[0, HIPS].mean(0)) / 2
        assert np.cross(look @ [*torso, 1], [0, 0, 1]) == pytest.approx([0, 0, 0], abs=1e-6)
        view = seen(rays, SURELY[:, JOINTS], np.zeros((1, 15, 3), np.float32))
        assert np.allclose(view.turns @ view.turns.swapaxes(1, 2), np.eye(3), atol=1e-6)
        points = view.inputs[0, POINTS].reshape(15, 2)
        up = points[SHOULDERS].mean(0) - points[HIPS].mean(0)
        assert up[0] == pytest.approx(0, abs=1e-5) and up[1] < 0
        assert np.linalg.norm(points, axis=1).mean() == pytest.approx(1, abs=1e-5)


def test_a_rolled_camera_changes_nothing_but_the_direction_of_up():
    rays, _, world = person(rotation(1, 30), (0, 0, 3.0))
    roll = rotation(2, 40)
    rolled = rays @ roll[:2, :2].T
    plain, other = (
        seen(r[:, JOINTS], SURELY[:, JOINTS], w[:, JOINTS]).inputs[0]
        for r, w in ((rays, world), (rolled, world @ roll.T))
    )
    for part in (POINTS, EXTENT, SURE, WORLD):
        assert np.allclose(plain[part], other[part], atol=2e-5)
    angle = np.arctan2(other[UP][1], other[UP][0]) - np.arctan2(plain[UP][1], plain[UP][0])
    assert np.degrees(angle) == pytest.approx(-40, abs=0.01)


def test_a_person_without_a_torso_stands_as_the_picture_does():
    assert np.array_equal(uprighting(np.zeros((1, 15, 2), np.float32))[0], np.eye(2))


@pytest.mark.parametrize("place", [(0, 0, 3.0), (2.0, 0.3, 3.0), (-1.0, -1.0, 2.0)])
def test_joints_that_are_right_come_back_in_the_cameras_axes(place: tuple[float, float, float]):
    """The landmark net sees a person at the border from the side; in the camera's axes they are not turned."""
    rays, points, world = person(rotation(2, 20) @ rotation(0, 25), place)
    found = LiftNet(as_given)(rays, SURELY, world)
    assert np.allclose(found, points, atol=1e-5)


def test_all_people_go_through_at_once_and_nobody_costs_nothing():
    rays, _, world = (np.repeat(each, 12, axis=0) for each in person(np.eye(3, dtype=np.float32), (0, 0, 3)))
    asked = []

    def session(inputs):
        asked.append(inputs.shape)
        return as_given(inputs)

    net = LiftNet(session)
    assert net(rays, np.ones((12, 33), np.float32), world).shape == (12, 33, 3)
    assert net(rays[:0], np.ones((0, 33), np.float32), world[:0]).shape == (0, 33, 3)
    assert asked == [(12, INPUTS)]


def test_what_hangs_on_a_joint_follows_it():
    joints = BODY[None, JOINTS].copy()
    at = {
        name: JOINTS.index(landmark(name))
        for name in ("left_wrist", "left_elbow", "nose", "right_foot_index")
    }
    elbow = joints[0, at["left_elbow"]]
    turn = rotation(0, 90)
    joints[0, at["left_wrist"]] = elbow + turn @ (joints[0, at["left_wrist"]] - elbow)
    joints[0, at["nose"]] += [0.1, 0, 0]
    out = whole(BODY[None], joints)[0]
    assert np.allclose(out[JOINTS], joints[0])
    assert np.allclose(out[1:11] - BODY[1:11], [0.1, 0, 0], atol=1e-6)
    wrist, hand = landmark("left_wrist"), [landmark(f"left_{name}") for name in ("pinky", "index", "thumb")]
    before, after = BODY[hand] - BODY[wrist], out[hand] - out[wrist]
    assert np.allclose(np.linalg.norm(after, axis=1), np.linalg.norm(before, axis=1), atol=1e-6)
    forearms = [points[wrist] - points[landmark("left_elbow")] for points in (BODY, out)]
    assert np.allclose(before @ forearms[0], after @ forearms[1], atol=1e-5)
    untouched = [landmark(f"right_{name}") for name in ("pinky", "index", "thumb", "heel")]
    assert np.allclose(out[untouched], BODY[untouched], atol=1e-6)


def test_the_network_starts_as_the_landmark_nets_own_joints():
    torch.manual_seed(0)
    inputs = torch.randn(5, INPUTS)
    given = inputs[:, WORLD].reshape(5, 15, 3)
    found = LiftModule()(inputs)
    assert torch.allclose(found, given - given[:, HIPS].mean(1, keepdim=True))


def test_weights_of_another_network_are_refused(tmp_path):
    state = LiftModule().state_dict()
    del state["skip.weight"]
    save_file(state, tmp_path / "lift-s.safetensors")
    with pytest.raises(WeightsCorrupt, match=r"not lift-s as it is known: skip\.weight is missing"):
        load_lift(tmp_path / "lift-s.safetensors")


def test_landmarks_that_are_no_body_give_numbers():
    rays, world = np.zeros((2, 33, 2), np.float32), np.zeros((2, 33, 3), np.float32)
    rays[1] = 1e4  # where a lens that distorts much may put what lies at a border
    with torch.inference_mode():
        net = LiftNet(lambda inputs: [LiftModule()(torch.from_numpy(inputs)).numpy()])
        assert np.isfinite(net(rays, np.ones((2, 33), np.float32), world)).all()


# -- the stage

LENS = replace(GUESS, focal_px=800.0)


def frame() -> Frame:
    return Frame(0, Fraction(0), 0, np.zeros((720, 1280, 3), np.uint8), "test")


def standing(id_: int, place: tuple[float, float, float]) -> tuple[Person, np.ndarray]:
    rays, points, world = person(np.eye(3, dtype=np.float32), place)
    sure = np.full((33, 1), 0.8, np.float32)
    pixels = 800 * rays[0] + [640, 360]
    return (
        Person(
            np.zeros(4, np.float32),
            0.9,
            id_,
            landmarks=np.hstack([pixels, sure]).astype(np.float32),
            world=np.hstack([world[0], sure]),
        ),
        points[0],
    )


def test_everybody_is_mended_and_keeps_their_confidence():
    people, truth = zip(*(standing(i + 1, (i - 1.0, 0.0, 4.0)) for i in range(3)), strict=True)
    out = Lift(LiftNet(as_given), LENS)(frame(), people)
    assert [each.id for each in out] == [1, 2, 3]
    for before, after, points in zip(people, out, truth, strict=True):
        assert after.world is not None and after.world.dtype == np.float32
        assert np.allclose(after.world[:, :3], points, atol=1e-4)
        assert np.array_equal(after.world[:, 3], before.world[:, 3])
        assert after.landmarks is before.landmarks


def test_who_has_no_numbers_is_left_alone():
    people = [standing(1, (0, 0, 4))[0], standing(2, (1, 0, 4))[0], standing(3, (-1, 0, 4))[0]]
    broken = people[1].world.copy()
    broken[15, 2] = np.nan
    people[1] = replace(people[1], world=broken)
    people[2] = replace(people[2], landmarks=None)
    stage = Lift(lambda rays, sure, world: world + 1, LENS)
    one, two, three = stage(frame(), people)
    assert np.allclose(one.world[:, :3], people[0].world[:, :3] + 1)
    assert two is people[1]
    assert three is people[2]
    assert list(stage(frame(), [])) == []
    assert list(stage(frame(), people[1:])) == people[1:]


@pytest.mark.weights
def test_the_shipped_network_brings_flattened_bodies_nearer_to_what_they_are():
    """Depths of the landmark net come out too flat; from all sides but the front, the network gets most of it back.

    From the front BlazePose leans people forward, and the network takes that for granted.
    """
    net = LiftNet(open_session(prepare("lift-s"), device="cpu"))
    sides = [person(rotation(1, heading), (0.2, 0.1, 3.5)) for heading in range(70, 330, 40)]
    rays, points, world = (np.concatenate(each) for each in zip(*sides, strict=True))
    flat = world * np.array([0.9, 0.9, 0.6], np.float32)
    mended = net(rays, np.ones((len(rays), 33), np.float32), flat)
    before, after = (np.linalg.norm(each - points, axis=-1)[:, JOINTS].mean() for each in (flat, mended))
    assert after < 0.6 * before
    assert np.abs(mended).max() < 1.5 * SIZE_M
