"""Motion files read back by programs that are not ours: joints within a millimetre, upright, left on the left."""

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import ezc3d
import numpy as np
import pytest

from bodystream.models.body.kinematics import JOINTS, joints_at, matrices, posed, quaternions, skeleton_of
from bodystream.models.body.mesh import own_segments, own_surface
from bodystream.models.body.skin import blend, weighted
from bodystream.pipeline.sinks import open_sinks
from bodystream.pipeline.types import Header, Person, Pose3d, Result, SourceInfo
from bodystream.training.poses import about_y, sampled_pose
from tests import recordings
from tests.readers import Glb, read_bvh, read_trc

RATE, FRAMES = Fraction(30000, 1001), 40
AWAY = range(15, 29)  # frames in which person 2 is not seen: longer than a gap may be
MM = 1e-3
# The camera looks down by 20°: up in its axes, and from its axes to the world's, by hand.
SIN, COS = np.sin(np.radians(20)), np.cos(np.radians(20))
UP = [0.0, -COS, -SIN]
TO_WORLD = np.array([[1, 0, 0], [0, -COS, -SIN], [0, SIN, -COS]])

MARKERS = {
    "Hip": "pelvis", "Neck": "neck", "Nose": "nose",
    **{
        f"{side[0].upper()}{name}": f"{side}_{joint}"
        for side in ("left", "right")
        for name, joint in {
            "Hip": "hip", "Knee": "knee", "Ankle": "ankle", "BigToe": "toe", "Heel": "heel",
            "Shoulder": "shoulder", "Elbow": "elbow", "Wrist": "wrist",
        }.items()
    },
}  # fmt: skip
BONES = {
    "Hips": "pelvis", "Spine": "spine", "Head": "neck",
    **{
        f"{side.capitalize()}{name}": f"{side}_{joint}"
        for side in ("left", "right")
        for name, joint in {
            "UpLeg": "hip", "Leg": "knee", "Foot": "ankle", "Arm": "shoulder", "ForeArm": "elbow", "Hand": "wrist",
            "ToeBase": "toe", "HandEnd": "hand",
        }.items()
    },
}  # fmt: skip
BVH_ENDS = {"LeftFoot end": "left_toe", "RightFoot end": "right_toe", "LeftHand end": "left_hand"}


def pose(number: int, frame: int) -> Pose3d:
    """Person 1 stands and faces the camera, arms as at rest; person 2 goes from one pose into another, turning."""
    share = frame / FRAMES
    if number == 1:
        turns = np.repeat((TO_WORLD.T @ np.diag([1, -1, -1]))[None], 17, axis=0)
    else:
        a, b = (quaternions(sampled_pose(np.random.default_rng(seed))) for seed in (5, 6))
        b = np.where((a * b).sum(-1, keepdims=True) < 0, -b, b)
        turns = about_y(np.array(4 * share)) @ matrices((1 - share) * a + share * b)
    lengths = (np.array([0.48, 0.33, 0.19, 0.27, 0.25, 0.4, 0.39]) * (1 + number / 20)).astype(np.float32)
    # Along the ground, 1.7 m under the camera; person 2 well above it, so that 1 tells where it is.
    root = TO_WORLD.T @ [
        number - 1.4 + share,
        -1.7 + 1.11 * lengths[5:].sum() + 0.5 * (number - 1),
        share - 3.5,
    ]
    turns, root = turns.astype(np.float32), root.astype(np.float32)
    joints = joints_at(*posed(skeleton_of(lengths), turns, root))
    return Pose3d(np.column_stack([joints, np.ones(len(joints), np.float32)]), root, turns, lengths)


def person(number: int, frame: int) -> Person:
    return Person(np.array([1, 2, 3, 4], np.float32), 0.9, number, pose3d=pose(number, frame))


def seen(number: int) -> np.ndarray:
    """Frames (T,) in which a person is."""
    return np.array([number == 1 or frame not in AWAY for frame in range(FRAMES)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All formats of a clip, whose media time begins at 2 s."""
    folder = tmp_path_factory.mktemp("walk")
    extra = {"joints": list(JOINTS), "camera": {"up": UP}}
    header = Header(SourceInfo("walk.mp4", 64, 48, RATE, False, FRAMES), (), {}, ("nose",), extra)
    results = [
        Result(frame, 2 + frame / RATE, (64, 48), tuple(person(i, frame) for i in (1, 2) if seen(i)[frame]))
        for frame in range(FRAMES)
    ]
    for names, mesh in ((["walk.trc", "walk.c3d", "walk.bvh", "walk.glb"], False), (["mesh.glb"], True)):
        for sink in open_sinks([str(folder / name) for name in names], tell=print, mesh=mesh):
            sink.open(header)
            for result in results:
                sink.write(None, result)
            sink.close(recordings.end())
    return folder


def check(
    number: int, found: Mapping[str, np.ndarray], names: Mapping[str, str], *, together: bool = False
) -> None:
    """Compare joints (T, 3), m, of a file with the truth; blank where the person is away. The floor is taken away."""
    truth = np.stack([pose(number, frame).joints[:, :3] for frame in range(FRAMES)]) @ TO_WORLD.T
    floor = truth[0, 0, 1] - found[next(iter(names))][0, 1]
    there = seen(number)
    if number == 1 or together:
        assert floor == pytest.approx(-1.7, abs=0.03)
    else:  # a floor of their own, a sole's thickness below heel or toe
        feet = [JOINTS.index(f"{side}_{name}") for side in ("left", "right") for name in ("heel", "toe")]
        lowest = np.percentile(truth[there][:, feet, 1].min(1), 5)
        assert 0 < lowest - floor < 0.08
    assert len(names) >= 15
    for name, joint in names.items():
        wanted = truth[:, JOINTS.index(joint)] - [0, floor, 0]
        assert found[name][there] == pytest.approx(wanted[there], abs=MM), (name, joint)


def check_standing(
    found: Mapping[str, np.ndarray], head: str, foot: str, left: str, right: str, nose: str
) -> None:
    """Person 1 stands on the floor, faces the camera, and has their left where the picture has its right."""
    at = {name: found[name][0] for name in (head, foot, left, right, nose)}
    assert 1.5 < at[head][1] < 1.8
    assert 0 < at[foot][1] < 0.15, "an ankle or a toe over the floor"
    assert at[left][0] > at[right][0] + 0.2
    assert at[nose][2] > at[head][2] + 0.02 > at[head][2]
    assert at[head][2] < -2, "in front of the camera"


class TestTrc:
    @pytest.mark.parametrize("number", [1, 2])
    def test_by_its_layout(self, folder: Path, number: int) -> None:
        header, times, markers = read_trc(folder / f"walk.{number}.trc")
        check(number, markers, MARKERS)
        assert np.isnan(markers["LSmallToe"][:, 0]).tolist() == (~seen(number)).tolist()
        assert times == pytest.approx([2 + k * 1001 / 30000 for k in range(FRAMES)], abs=1e-6)
        assert float(header["DataRate"]) == pytest.approx(30000 / 1001, abs=1e-6)
        assert (header["NumFrames"], header["NumMarkers"], header["Units"]) == ("40", "22", "m")

    def test_who_stands_where(self, folder: Path) -> None:
        _, _, markers = read_trc(folder / "walk.1.trc")
        check_standing(markers, "Head", "LBigToe", "LShoulder", "RShoulder", "Nose")
        small, big, heel = (markers[f"L{name}"][0] for name in ("SmallToe", "BigToe", "Heel"))
        assert small[0] > big[0] + 0.03 and heel[2] < small[2] < big[2]

    @pytest.mark.slow
    def test_by_pandas_as_pose2sim_reads_it(self, folder: Path) -> None:
        pandas = pytest.importorskip("pandas")
        # Pose2Sim 0.10, common.read_trc
        path = folder / "walk.2.trc"
        names = [name.strip() for name in path.read_text().split("\n")[3].split("\t")[2::3] if name.strip()]
        table = pandas.read_csv(path, sep="\t", skiprows=4, encoding="utf-8")
        table = table.drop(table.columns[[0, 1]], axis=1)
        table = table.loc[:, ~table.columns.str.startswith("Unnamed")]
        places = table.to_numpy(float).reshape(len(table), len(names), 3)
        check(2, {name: places[:, i] for i, name in enumerate(names)}, MARKERS)

    @pytest.mark.slow
    def test_by_opensim(self, folder: Path) -> None:
        opensim = pytest.importorskip("opensim")
        table = opensim.TimeSeriesTableVec3(str(folder / "walk.2.trc"))
        names = list(table.getColumnLabels())
        columns = {name: table.getDependentColumn(name) for name in names}
        found = {
            name: np.array([column[i].to_numpy() for i in range(FRAMES)]) for name, column in columns.items()
        }
        check(2, found, MARKERS)
        assert np.isnan(found["LWrist"][:, 2]).tolist() == (~seen(2)).tolist()
        assert table.getIndependentColumn()[0] == 2

    @pytest.mark.slow
    def test_by_pose2sim(self, folder: Path) -> None:
        common = pytest.importorskip("Pose2Sim.common")
        table, _, times, names, _ = common.read_trc(folder / "walk.2.trc")
        places = table.to_numpy(float).reshape(len(table), len(names), 3)
        check(2, {name: places[:, i] for i, name in enumerate(names)}, MARKERS)
        assert times.iloc[0] == 2


class TestC3d:
    @pytest.mark.parametrize("number", [1, 2])
    def test_by_ezc3d(self, folder: Path, number: int) -> None:
        file = ezc3d.c3d(str(folder / f"walk.{number}.c3d"))
        point = file["parameters"]["POINT"]
        places = file["data"]["points"][:3].transpose(1, 2, 0) / 1000
        found = dict(zip(point["LABELS"]["value"], places, strict=True))
        check(number, found, MARKERS)
        assert (file["data"]["meta_points"]["residuals"][0] < 0).tolist() == [(~seen(number)).tolist()] * 22
        assert point["UNITS"]["value"] == ["mm"]
        assert point["RATE"]["value"][0] == pytest.approx(30000 / 1001, abs=1e-4)
        assert (point["X_SCREEN"]["value"], point["Y_SCREEN"]["value"]) == (["+X"], ["+Y"])
        if number == 1:
            check_standing(found, "Head", "LBigToe", "LShoulder", "RShoulder", "Nose")

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore:No analog data")
    def test_by_another_reader(self, folder: Path) -> None:
        c3d = pytest.importorskip("c3d")
        with (folder / "walk.2.c3d").open("rb") as file:
            reader = c3d.Reader(file)
            names = [name.strip() for name in reader.point_labels]
            points = np.stack([points for _, points, _ in reader.read_frames()])  # (T, 22, 5)
        check(2, {name: points[:, i, :3] / 1000 for i, name in enumerate(names)}, MARKERS)
        assert (points[:, 0, 3] < 0).tolist() == (~seen(2)).tolist()


class TestBvh:
    @pytest.mark.parametrize("number", [1, 2])
    def test_by_its_definition(self, folder: Path, number: int) -> None:
        bvh = read_bvh(folder / f"walk.{number}.bvh")
        found = {name: places / 100 for name, places in bvh.places.items()}
        check(number, found, {name: joint for name, joint in BONES.items() if name in found} | BVH_ENDS)
        assert bvh.frame_time == pytest.approx(1001 / 30000, abs=1e-8)
        held = found["LeftHand"][AWAY.start - 1]
        if number == 2:
            assert found["LeftHand"][AWAY] == pytest.approx(np.repeat(held[None], len(AWAY), 0))
        else:
            check_standing(
                found | {"front": found["LeftFoot end"]},
                "Head end",
                "LeftFoot end",
                "LeftArm",
                "RightArm",
                "front",
            )

    def test_at_rest_the_body_faces_forward(self, folder: Path) -> None:
        path = folder / "rest.bvh"
        head, _, _ = (folder / "walk.1.bvh").read_text().partition("MOTION")
        path.write_text(
            head + "MOTION\nFrames: 1\nFrame Time: 0.04\n" + " ".join(["0"] * (6 + 16 * 3)) + "\n"
        )
        places = read_bvh(path).places
        assert places["LeftArm"][0, 0] > 10 > -10 > places["RightArm"][0, 0]
        assert places["Head end"][0, 1] > 60 > -60 > places["LeftFoot"][0, 1]
        assert places["LeftFoot end"][0, 2] > places["LeftFoot"][0, 2] + 10

    def test_angles_do_not_jump(self, folder: Path) -> None:
        text = (folder / "walk.2.bvh").read_text().split("Frame Time:")[1].split("\n", 1)[1]
        angles = np.array(text.split(), float).reshape(FRAMES, -1)[:, 3:]
        assert np.abs(np.diff(angles, axis=0))[: AWAY.start - 1].max() < 40

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
    def test_by_blender(self, folder: Path) -> None:
        """As below; its reader leaves the file open."""
        if importlib.util.find_spec("bpy") is None:
            pytest.skip("no bpy")
        import bpy

        bpy.ops.wm.read_factory_settings(use_empty=True)
        bpy.ops.import_anim.bvh(filepath=str(folder / "walk.2.bvh"), global_scale=0.01)
        armature = bpy.data.objects["walk.2"]
        found = {name: np.zeros((FRAMES, 3)) for name in BONES}
        for frame in range(FRAMES):
            bpy.context.scene.frame_set(frame + 1)  # Blender's first
            for name in (name for name in BONES if not name.endswith(("Base", "End"))):
                x, y, z = armature.matrix_world @ armature.pose.bones[name].head
                found[name][frame] = x, z, -y
        check(2, found, {name: joint for name, joint in BONES.items() if not name.endswith(("Base", "End"))})

    @pytest.mark.slow
    def test_by_bvhio(self, folder: Path) -> None:
        bvhio = pytest.importorskip("bvhio")
        root = bvhio.readAsHierarchy(str(folder / "walk.2.bvh"))
        found = {name: np.zeros((FRAMES, 3)) for name in BONES}
        for frame in range(FRAMES):
            root.loadPose(frame)
            for joint, _, _ in root.layout():
                if joint.Name in found:
                    found[joint.Name][frame] = np.array(joint.PositionWorld) / 100
        check(2, found, {name: joint for name, joint in BONES.items() if not name.endswith(("Base", "End"))})


class TestGlb:
    @pytest.mark.parametrize("name", ["walk.glb", "mesh.glb"])
    @pytest.mark.parametrize("number", [1, 2])
    def test_by_its_definition(self, folder: Path, name: str, number: int) -> None:
        glb = Glb(folder / name)
        frames = [glb.bones(number, frame) for frame in range(FRAMES)]
        found = {bone: np.stack([frame[bone] for frame in frames]) for bone in frames[0]}
        check(number, found, BONES, together=True)
        if number == 1:
            check_standing(found, "HeadTop", "LeftToeBase", "LeftArm", "RightArm", "LeftToeBase")
        else:
            assert np.ptp(np.stack(list(frames[AWAY[0]].values())), axis=0).max() < 1e-6, "hidden: of no size"
            assert np.ptp(glb.skinned(2, AWAY[0]), axis=0).max() < 1e-5
        times = glb.values(glb.json["animations"][0]["samplers"][0]["input"])
        assert times == pytest.approx(np.arange(FRAMES) * 1001 / 30000, abs=1e-6)
        assert glb.json["scenes"][0]["extras"] == {"frame_rate": "30000/1001", "media_time_s": 2.0}

    def test_the_body_is_that_of_the_pose(self, folder: Path) -> None:
        glb, frame = Glb(folder / "mesh.glb"), 33
        found, truth = glb.skinned(2, frame), pose(2, frame)
        skeleton = skeleton_of(truth.lengths)
        body = blend(weighted(own_surface(skeleton)), own_segments(skeleton, truth.turns, truth.root))
        body = body @ TO_WORLD.T
        body[:, 1] += found[:, 1].mean() - body[:, 1].mean()
        assert found == pytest.approx(body, abs=MM)
        assert glb.skinned(1, 0)[:, 1].min() == pytest.approx(0, abs=0.02), "on the floor"

    def test_nobody_at_all(self, tmp_path: Path) -> None:
        (sink,) = open_sinks([str(tmp_path / "a.glb")], tell=print)
        sink.open(recordings.header())
        sink.close(None)
        assert Glb(tmp_path / "a.glb").people == []

    @pytest.mark.slow
    def test_by_khronos_validator(self, folder: Path, tmp_path: Path) -> None:
        self.test_nobody_at_all(tmp_path)
        script = (
            "const v = require('gltf-validator'), fs = require('fs');"
            "for (const f of process.argv.slice(1)) v.validateBytes(new Uint8Array(fs.readFileSync(f)))"
            ".then(r => console.log(JSON.stringify(r.issues)))"
        )
        node = shutil.which("node")
        paths = [folder / "walk.glb", folder / "mesh.glb", tmp_path / "a.glb"]
        if (
            node is None
            or subprocess.run([node, "-e", "require('gltf-validator')"], capture_output=True).returncode
        ):
            pytest.skip("no node with gltf-validator (npm install gltf-validator; NODE_PATH)")
        done = subprocess.run(
            [node, "-e", script, *map(str, paths)], capture_output=True, text=True, check=True
        )
        for line in done.stdout.splitlines():
            issues = json.loads(line)
            assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues
        assert len(done.stdout.splitlines()) == len(paths)

    @pytest.mark.slow
    def test_by_trimesh(self, folder: Path) -> None:
        trimesh = pytest.importorskip("trimesh")
        scene = trimesh.load(folder / "mesh.glb", process=False)
        assert len(scene.geometry) == 2
        body = next(iter(scene.geometry.values()))
        rest = own_surface(skeleton_of(pose(1, 0).lengths)) * [1, -1, -1]
        assert np.asarray(body.vertices) == pytest.approx(rest, abs=1e-6)
        assert body.is_watertight and body.volume > 0.04

    @pytest.mark.slow
    def test_by_blender(self, folder: Path) -> None:
        """Run with an interpreter that has Blender as a module (bpy), which wants its own version of Python."""
        if importlib.util.find_spec("bpy") is None:
            pytest.skip("no bpy")
        import bpy

        bpy.ops.wm.read_factory_settings(use_empty=True)
        scene = bpy.context.scene
        scene.render.fps = 30  # keys are put where the scene's rate has them
        bpy.ops.import_scene.gltf(filepath=str(folder / "mesh.glb"))
        for number in (1, 2):
            armature = bpy.data.objects[f"person {number}"]
            found = {name: np.zeros((FRAMES, 3)) for name in BONES}
            for frame in range(FRAMES):
                time = frame * 30 / float(RATE)
                scene.frame_set(int(time), subframe=time % 1)
                for name in BONES:
                    x, y, z = armature.matrix_world @ armature.pose.bones[name].head
                    found[name][frame] = x, z, -y  # Blender's z is up
            check(number, found, BONES, together=True)
        assert found["Head"][AWAY] == pytest.approx(found["LeftFoot"][AWAY]), "hidden: of no size"
