"""The kinematic fit: derivatives, known poses recovered, noise, joint sets, people in a batch."""

from dataclasses import fields

import numpy as np
import pytest

from bodystream.models.body.fit import (
    COLD,
    WARM,
    Figures,
    Targets,
    equations,
    fit,
    placed,
    start_of,
)
from bodystream.models.body.freedoms import (
    BALLS,
    FREEDOMS,
    HINGES,
    Posture,
    exponential,
    hinges,
    posture_of,
    turns_of_posture,
)
from bodystream.models.body.joint_sets import BLAZEPOSE, COCO_17, VNECT_21, JointSet
from bodystream.models.body.kinematics import posed, skeleton_of
from bodystream.models.keypoints import COCO, KEYPOINTS
from bodystream.training.poses import about_y, sampled_pose

LENGTHS = np.array([0.515, 0.327, 0.193, 0.281, 0.246, 0.412, 0.408], np.float32)
PICTURE = 8.0  # as the stage weighs it
BENDS = [0, 4, 7, 11]  # elbows and knees among the hinges


class Scene:
    """N people of various sizes in known poses, two to six metres away, with exact targets."""

    def __init__(self, seed: int, count: int, joints: JointSet = BLAZEPOSE) -> None:
        rng = np.random.default_rng(seed)
        turns = np.stack([about_y(rng.uniform(-np.pi, np.pi)) @ sampled_pose(rng) for _ in range(count)])
        root = np.column_stack([rng.uniform(-0.7, 0.7, (count, 2)), rng.uniform(2, 6, count)])
        known, within = hinges(), posture_of(turns, root)
        angles = np.clip(within.angles, known.low + 0.02, known.high - 0.02)
        self.truth = Posture(root, within.balls, angles)  # within what the joints can do
        self.turns = turns_of_posture(self.truth)
        self.skeleton = skeleton_of(LENGTHS * rng.uniform(0.85, 1.15, (count, 7)).astype(np.float32))
        self.figures = Figures.of(joints, self.skeleton)
        starts, self.landmarks = posed(self.skeleton, self.turns, root)
        arms = (self.turns[:, joints.owners] @ self.figures.arms[..., None])[..., 0]
        self.points = starts[:, joints.owners] + arms
        self.targets = exact(self.points, root, joints)

    @property
    def world(self) -> np.ndarray:
        return self.landmarks - self.landmarks[:, [23, 24]].mean(1, keepdims=True)


def exact(points: np.ndarray, root: np.ndarray, joints: JointSet) -> Targets:
    weights = np.broadcast_to(joints.weights, points.shape[:2]).copy()
    return Targets(
        places=points - root[:, None],
        place_weights=weights,
        rays=points[..., :2] / points[..., 2:],
        ray_weights=PICTURE * weights * root[:, 2:] ** 2,
        root=root,
        root_weights=np.zeros(len(root)),
        anchors=np.zeros_like(points),
        anchor_weights=np.zeros_like(points),
        doubt=np.zeros(len(root)),
    )


def changed(targets: Targets, **new: np.ndarray) -> Targets:
    return Targets(
        **{field.name: new.get(field.name, getattr(targets, field.name)) for field in fields(Targets)}
    )


def degrees(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    cosine = (np.einsum("...ij,...ij->...", a, b) - 1) / 2
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


@pytest.mark.parametrize("joints", [BLAZEPOSE, COCO_17, VNECT_21], ids=["blazepose", "coco", "vnect"])
def test_slope_is_half_the_gradient_of_the_energy(joints):
    scene, rng = Scene(0, 3, joints), np.random.default_rng(1)
    targets = changed(
        scene.targets,
        root_weights=np.array([0.0, 1.0, 3.0]),
        anchors=scene.points + 0.1,
        anchor_weights=rng.uniform(0, 20, scene.points.shape),
        doubt=np.array([0.0, 0.01, 0.1]),
    )
    # Far from the truth and beyond the hinges' limits, where every term has a slope.
    posture = scene.truth.moved(rng.normal(0, 0.4, (3, FREEDOMS)))
    assert (posture.angles < hinges().low).any() or (posture.angles > hinges().high).any()
    found = equations(scene.figures, targets, posture).slope
    step = 1e-5
    for freedom in range(FREEDOMS):
        move = np.zeros((3, FREEDOMS))
        move[:, freedom] = step
        ahead, behind = (equations(scene.figures, targets, posture.moved(s)).value for s in (move, -move))
        assert found[:, freedom] == pytest.approx((ahead - behind) / (4 * step), abs=1e-5, rel=1e-5), freedom


def test_bend_is_half_the_hessian_where_all_targets_are_met():
    scene = Scene(2, 2)
    exact_bend = equations(scene.figures, scene.targets, scene.truth).bend
    step = 1e-5
    for freedom in range(FREEDOMS):
        move = np.zeros((2, FREEDOMS))
        move[:, freedom] = step
        ahead, behind = (
            equations(scene.figures, scene.targets, scene.truth.moved(s)).slope for s in (move, -move)
        )
        assert np.allclose(exact_bend[:, freedom], (ahead - behind) / (2 * step), atol=2e-3)


def test_known_poses_are_recovered_from_nothing():
    scene = Scene(3, 40)
    start = start_of(scene.figures, scene.world, scene.targets)
    found = fit(scene.figures, scene.targets, start, COLD, 0.0)
    off = np.linalg.norm(found.points - scene.points, axis=-1)
    assert off.max() < 0.005
    assert np.median(degrees(found.turns, scene.turns)) < 0.1
    assert np.abs(found.posture.root - scene.truth.root).max() < 0.005


def test_the_last_pose_is_a_start_from_which_a_few_steps_do():
    scene, rng = Scene(4, 20), np.random.default_rng(0)
    near = scene.truth.moved(rng.normal(0, 0.05, (20, FREEDOMS)))  # a fast frame: 3 degrees a joint
    found = fit(scene.figures, scene.targets, near, WARM)
    assert np.linalg.norm(found.points - scene.points, axis=-1).max() < 0.005
    off = degrees(found.turns, scene.turns)
    # Of a straight limb only the sum of both segments' turns about it can be seen.
    straight = scene.truth.angles[:, BENDS] < hinges().low[BENDS] + 0.45
    for limb, segments in enumerate(((3, 4, 5, 6), (7, 8, 9), (10, 11, 12, 13), (14, 15, 16))):
        off[np.ix_(straight[:, limb], segments)] = 0
    assert np.quantile(off, 0.98) < 1
    assert off.max() < 2


def test_noise_gives_errors_of_its_own_size():
    scene, rng = Scene(5, 30), np.random.default_rng(0)
    noise = 0.03
    targets = changed(
        scene.targets,
        places=scene.targets.places + rng.normal(0, noise, scene.points.shape),
        rays=scene.targets.rays + rng.normal(0, 0.01, (*scene.points.shape[:2], 2)) / scene.points[..., 2:],
    )
    found = fit(scene.figures, targets, scene.truth, COLD, 0.0)
    off = found.points - scene.points
    away = np.linalg.norm(off - off[:, [15, 16]].mean(1, keepdims=True), axis=-1)
    raw = np.linalg.norm(targets.places - scene.targets.places, axis=-1)
    assert away.mean() < raw.mean()
    assert np.quantile(away, 0.95) < 4 * noise


def test_limbs_are_as_long_as_they_are_whatever_the_targets():
    scene, rng = Scene(6, 5), np.random.default_rng(0)
    wild = changed(scene.targets, places=rng.normal(0, 1, scene.points.shape))
    found = fit(scene.figures, wild, scene.truth, COLD, 0.0)
    _, landmarks = posed(scene.skeleton, found.turns, found.posture.root)
    for a, b, bone in (("left_hip", "left_knee", 5), ("right_elbow", "right_wrist", 4)):
        ends = landmarks[:, [KEYPOINTS.index(a), KEYPOINTS.index(b)]]
        assert np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1) == pytest.approx(
            scene.skeleton.lengths[:, bone], rel=1e-4
        )


def test_elbows_and_knees_do_not_bend_backwards():
    scene = Scene(7, 8)
    mirrored = scene.targets.places * np.array([1, 1, -1])  # what a flip in depth asks for
    found = fit(scene.figures, changed(scene.targets, places=mirrored), scene.truth, COLD, 0.0)
    known = hinges()
    hard = [i for i, segment in enumerate(HINGES) if segment in (4, 8, 11, 15)]
    assert (found.posture.angles[:, hard] > known.low[hard] - 0.3).all()
    assert (found.posture.angles[:, hard] < known.high[hard] + 0.3).all()


def test_people_are_fitted_alike_alone_and_together():
    scene, rng = Scene(8, 6), np.random.default_rng(0)
    near = scene.truth.moved(rng.normal(0, 0.02, (6, FREEDOMS)))
    together = fit(scene.figures, scene.targets, near, 5)
    for i in range(6):
        one = np.arange(6) == i
        figures = scene.figures.some(one)
        alone = fit(figures, scene.targets.of(one), near.of(one), 5)
        assert np.allclose(alone.points[0], together.points[i], atol=1e-4)


def test_nobody_is_no_trouble():
    scene = Scene(0, 1)
    none = np.zeros(1, bool)
    figures = scene.figures.some(none)
    found = fit(figures, scene.targets.of(none), scene.truth.of(none))
    assert found.points.shape == (0, len(BLAZEPOSE.names), 3)


def test_what_is_not_seen_stays_where_it_was():
    scene = Scene(9, 4)
    blind = changed(
        scene.targets,
        place_weights=np.zeros_like(scene.targets.place_weights),
        ray_weights=np.zeros_like(scene.targets.ray_weights),
        root_weights=np.ones(4),
    )
    found = fit(scene.figures, blind, scene.truth, WARM)
    assert np.linalg.norm(found.points - scene.points, axis=-1).max() < 0.25  # the weak pull to the rest pose
    assert np.isfinite(found.points).all()


def test_anchors_hold_their_points():
    scene = Scene(10, 3)
    heel = BLAZEPOSE.names.index("left_heel")
    anchors, weights = np.zeros_like(scene.points), np.zeros_like(scene.points)
    anchors[:, heel] = scene.points[:, heel] + [0.03, 0, 0]
    weights[:, heel] = 1e4
    found = fit(
        scene.figures, changed(scene.targets, anchors=anchors, anchor_weights=weights), scene.truth, COLD
    )
    assert np.linalg.norm(found.points[:, heel] - anchors[:, heel], axis=-1).max() < 0.003


def test_the_root_is_placed_by_rays():
    scene = Scene(11, 12)
    points = scene.targets.places
    assert np.allclose(
        placed(points, scene.targets.rays, scene.targets.ray_weights), scene.truth.root, atol=1e-3
    )
    nothing = placed(points, scene.targets.rays, np.zeros_like(scene.targets.ray_weights))
    assert np.isfinite(nothing).all() and (nothing[:, 2] > 0).all()


def test_postures_come_back_from_their_turns():
    rng = np.random.default_rng(0)
    known = hinges()
    angles = rng.uniform(0.6 * known.low, 0.6 * known.high, (50, 14))
    posture = Posture(rng.normal(size=(50, 3)), exponential(rng.normal(0, 0.6, (50, len(BALLS), 3))), angles)
    back = posture_of(turns_of_posture(posture), posture.root)
    assert np.allclose(back.angles, posture.angles, atol=0.05)
    assert np.median(np.abs(back.balls - posture.balls)) < 1e-3


def test_joint_sets_name_points_of_the_skeleton():
    scene = Scene(12, 2)
    skeleton = scene.skeleton
    rest = skeleton.landmarks
    assert np.allclose(COCO_17.at_rest(skeleton), rest[:, COCO[COCO_17.columns]], atol=1e-6)
    assert np.allclose(BLAZEPOSE.at_rest(skeleton), rest[:, BLAZEPOSE.columns], atol=1e-6)
    assert len(VNECT_21.names) == 21 and VNECT_21.columns.tolist() == list(range(21))
    vnect = dict(zip(VNECT_21.names, VNECT_21.at_rest(skeleton)[0], strict=True))
    heights = [
        -vnect[name][1] for name in ("head_top", "head", "neck", "spine", "pelvis", "left_knee", "left_foot")
    ]
    assert heights == sorted(heights, reverse=True)
    assert vnect["right_wrist"][0] < 0 < vnect["left_wrist"][0]
    for joints in (BLAZEPOSE, COCO_17, VNECT_21):
        assert np.allclose(joints.shares.sum(1), 1)
        assert (joints.weights > 0).all()


def test_vnects_joints_pose_the_body_too():
    scene = Scene(13, 20, VNECT_21)
    rng = np.random.default_rng(0)
    near = scene.truth.moved(rng.normal(0, 0.1, (20, FREEDOMS)))
    found = fit(scene.figures, scene.targets, near, COLD, 0.0)
    assert np.linalg.norm(found.points - scene.points, axis=-1).max() < 0.01
