import csv
import json
from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from bodystream.cli import main
from bodystream.models.body.kinematics import JOINTS
from bodystream.pipeline import record
from bodystream.pipeline.types import Mask, Person
from tests import footage, recordings
from tests.readers import Glb


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(main.COMMANDS, "convert", "convert")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def results(to: Path, lines: int = 4, *, ended: bool = True, **source: object) -> Path:
    parts = [
        record.encode_header(recordings.header(rate=Fraction(25), **source), "2026-01-02T03:04:05+00:00")
    ]
    parts += [
        record.encode_result(replace(result, pts=Fraction(result.index, 25), file=None))
        for result in recordings.four_results()[:lines]
    ]
    to.write_bytes(b"".join([*parts, record.encode_end(recordings.end()) if ended else b""]))
    return to


def convert(*arguments: object) -> int:
    return main.run(["convert", *map(str, arguments)])


def test_to_every_format_without_pictures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results(folder / "run.jsonl")
    outputs = ["a.csv", "a.npz", "a.coco.json", "a.trace.json", "a.jsonl"]
    assert convert("run.jsonl", *(word for name in outputs for word in ("-o", name))) == 0
    with Path("a.csv").open(newline="") as file:
        assert [(row["frame"], row["id"]) for row in csv.DictReader(file)] == [
            ("1", "1"), ("2", "1"), ("2", "2"), ("2", "3"), ("2", "4"), ("3", "2"),
        ]  # fmt: skip
    assert len(json.loads(Path("a.coco.json").read_text())) == 6
    assert sum(event["ph"] == "X" for event in json.loads(Path("a.trace.json").read_text())) == 8
    with np.load("a.npz") as arrays:
        assert arrays["frame_index"].tolist() == [0, 1, 2, 3]
    assert Path("a.jsonl").read_bytes() == Path("run.jsonl").read_bytes()
    out, err = capsys.readouterr()
    assert out == ""
    assert "4 frames to a.csv" in err


def test_to_standard_output(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    path = results(folder / "run.jsonl")
    assert convert(path, "-o", "-", "-q") == 0
    out, err = capfdbinary.readouterr()
    assert out == path.read_bytes()
    assert err == b""


@pytest.mark.parametrize("how", ["from here", "beside the results", "by --video"])
def test_to_a_video(folder: Path, how: str) -> None:
    place = {"from here": "footage", "beside the results": "results", "by --video": "other"}[how]
    for name in ("footage", "results", "other"):
        (folder / name).mkdir()
    video = footage.make_video(folder / place / "dance.mp4", frames=4, audio=True)
    path = results(folder / "results" / "run.jsonl")
    assert convert(path, "-o", "out.mp4", *(["--video", video] if how == "by --video" else [])) == 0
    with av.open("out.mp4") as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        frames = list(container.decode(video=0))
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(i, 25) for i in range(4)]
    assert footage.index_of(frames[0].to_ndarray(format="bgr24")) == 0


def test_the_body_surface_comes_out_of_the_lines(folder: Path) -> None:
    """Records, JSON lines, records, pictures: what a picture shows is what was found, to 8 bits."""
    results(folder / "run.jsonl", path="dance.mp4")
    footage.make_video(folder / "dance.mp4", frames=4)
    assert convert("run.jsonl", "-o", "out.iuv/", "-o", "a.jsonl", "-o", "a.npz") == 0
    assert Path("a.jsonl").read_bytes() == Path("run.jsonl").read_bytes()
    assert sorted(path.name for path in Path("out.iuv").iterdir()) == [f"00000{i}.png" for i in range(4)]
    for result in recordings.four_results():
        image = cv2.imread(f"out.iuv/{result.index:06d}.png")[..., ::-1]  # red, green, blue
        wanted = np.zeros((recordings.HEIGHT, recordings.WIDTH, 3))
        for iuv in result.surfaces:
            if iuv is not None:
                h, w = iuv.part.shape
                there = wanted[iuv.y : iuv.y + h, iuv.x : iuv.x + w]
                there[iuv.part > 0] = np.stack([iuv.part, *(255 * iuv.uv)], axis=-1)[iuv.part > 0]
        np.testing.assert_array_equal(image[..., 0], wanted[..., 0])
        # Half a step is lost in the JSON lines and half a step here.
        assert np.abs(image - wanted).max() <= 1.001
    assert convert("run.jsonl", "-o", "out.iuv") == 1
    assert convert("run.jsonl", "-o", "out.iuv", "--overwrite") == 0


def test_the_body_surface_is_painted(folder: Path) -> None:
    footage.make_video(folder / "dance.mp4", frames=1, size=(320, 240))
    mask = Mask(np.full((20, 8), 255, np.uint8), np.array([[10.0, 0, 200], [0, 10, 20]]))
    dense = replace(recordings.dense(0, 0), to_image=np.array([[20.0, 0, 200], [0, 20, 20]]))
    person = Person(np.array([200, 20, 280, 220], np.float32), 0.9, 1, mask, dense=dense)
    lines = [record.encode_header(recordings.header(path="dance.mp4"))]
    lines += [record.encode_result(recordings.result(0, person, pts=Fraction(0), size=(320, 240)))]
    (folder / "run.jsonl").write_bytes(b"".join(lines))
    cv2.imwrite("atlas.png", np.full((40, 60, 3), 255, np.uint8))
    flags = {
        "parts": [],
        "isolines": ["--surface", "isolines"],
        "off": ["--surface", "off"],
        "texture": ["--texture", "atlas.png"],
    }
    middle = {}
    for name, words in flags.items():
        assert convert("run.jsonl", "-o", f"{name}.mp4", *words) == 0
        with av.open(f"{name}.mp4") as container:
            (frame,) = container.decode(video=0)
        middle[name] = frame.to_ndarray(format="bgr24")[150:200, 220:260].reshape(-1, 3).mean(axis=0)
    assert all(np.abs(middle[a] - middle[b]).max() > 20 for a, b in combinations(middle, 2)), middle


def test_results_without_a_body_surface_have_no_pictures_of_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = replace(recordings.header(), extra={})
    (folder / "run.jsonl").write_bytes(record.encode_header(header))
    assert convert("run.jsonl", "-o", "a.iuv") == 2
    assert "lack" in capsys.readouterr().err
    assert not Path("a.iuv").exists()


def test_frames_are_found_by_their_index(folder: Path) -> None:
    footage.make_video(folder / "dance.mp4", frames=12)
    parts = [
        record.encode_header(recordings.header(path="dance.mp4", rate=Fraction(25), start=Fraction(3, 25)))
    ]
    parts += [record.encode_result(recordings.result(i, pts=Fraction(i, 25), spans=())) for i in (3, 6, 9)]
    (folder / "run.jsonl").write_bytes(b"".join(parts))
    assert convert("run.jsonl", "-o", "out.mp4") == 0
    with av.open("out.mp4") as container:
        frames = list(container.decode(video=0))
    assert [footage.index_of(frame.to_ndarray(format="bgr24")) for frame in frames] == [3, 6, 9]
    assert [frame.time for frame in frames] == pytest.approx([0, 3 / 25, 6 / 25])


def test_pictures_of_a_folder_are_found_by_name(folder: Path) -> None:
    names = ["000000000007.png", "000000000042.png"]
    footage.make_pictures(folder / "pictures", names)
    parts = [record.encode_header(recordings.header(path=None, name="pictures"))]
    parts += [record.encode_result(recordings.result(i, file=name)) for i, name in enumerate(names)]
    (folder / "run.jsonl").write_bytes(b"".join(parts))
    assert convert("run.jsonl", "-o", "out.mp4") == 2, "which folder is not known"
    assert convert("run.jsonl", "-o", "out.mp4", "--video", "pictures") == 0
    with av.open("out.mp4") as container:
        assert [footage.index_of(f.to_ndarray(format="bgr24")) for f in container.decode(video=0)] == [0, 1]
    (folder / "pictures" / names[1]).rename(folder / "pictures" / "other.png")
    assert convert("run.jsonl", "-o", "out.mp4", "--video", "pictures", "--overwrite") == 1


def test_results_of_a_killed_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = results(folder / "run.jsonl", ended=False)
    path.write_bytes(path.read_bytes()[:-30])
    assert convert(path, "-o", "a.csv", "-o", "a.jsonl") == 0
    assert "its last line is cut off" in capsys.readouterr().err
    assert len(Path("a.csv").read_text().splitlines()) == 1 + 5
    assert b'"type":"end"' not in Path("a.jsonl").read_bytes(), "what was not seen is not made up"
    assert convert(results(folder / "b.jsonl", ended=False), "-o", "b.csv") == 0
    assert "it has no end line" in capsys.readouterr().err


@pytest.mark.parametrize("ended", [True, False])
def test_motion_comes_out_of_the_lines(folder: Path, capsys: pytest.CaptureFixture[str], ended: bool) -> None:
    """Also where the run was killed, which leaves no more of these than a .part."""
    lines = [record.encode_header(recordings.header(rate=Fraction(25)))]
    for i in range(6):
        people = [recordings.person(j, pose=True) for j in ((0, 2) if i < 4 else (0,))]
        lines.append(record.encode_result(recordings.result(i, *people, pts=Fraction(i, 25))))
    lines.append(record.encode_end(recordings.end()))
    (folder / "run.jsonl").write_bytes(b"".join(lines)[: None if ended else -500])
    (folder / "walk.bvh.part").write_bytes(b"rows")
    outputs = ("walk.bvh", "walk.glb", "walk.trc", "walk.c3d", "walk.csv")
    assert convert("run.jsonl", *(word for name in outputs for word in ("-o", name)), "--mesh") == 0
    made = {"walk.1.bvh", "walk.3.bvh", "walk.1.trc", "walk.3.trc", "walk.1.c3d", "walk.3.c3d"}
    assert {path.name for path in folder.iterdir()} == made | {"walk.glb", "walk.csv", "run.jsonl"}
    _, err = capsys.readouterr()
    assert f"walk.bvh: walk.1.bvh, walk.3.bvh, {6 if ended else 5} frames at 25 fps" in err

    glb = Glb(folder / "walk.glb")
    truth = recordings.pose3d(2).joints
    for place, joint in ((glb.bones(3, 0)["LeftHand"], "left_wrist"), (glb.bones(3, 2)["Hips"], "pelvis")):
        x, _, z, _ = truth[JOINTS.index(joint)]
        assert place[[0, 2]] == pytest.approx([x, -z], abs=1e-3)
    assert len(glb.skinned(3, 0)) > 10_000
    with Path("walk.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[1]
    assert float(row["left_wrist_pose3d_z"]) == pytest.approx(truth[JOINTS.index("left_wrist")][2], abs=1e-4)
    assert convert("run.jsonl", "-o", "walk.bvh") == 1
    assert "walk.1.bvh and 1 more exist" in capsys.readouterr().err


def test_motion_without_poses(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = replace(recordings.header(), extra={})
    (folder / "run.jsonl").write_bytes(record.encode_header(header) + record.encode_end(recordings.end()))
    assert convert("run.jsonl", "-o", "walk.bvh") == 2
    assert capsys.readouterr().err == (
        "error: walk.bvh needs poses in space, which these results lack; run again with --pose3d fit, or with "
        "--weights vnect=FILE where the chain is rcnn\n"
    )
    assert [path.name for path in folder.iterdir()] == ["run.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run.jsonl"], 2, "needs an output"),
        (["run.jsonl", "-o", "a.xyz"], 2, "no writer for a.xyz"),
        (["run.jsonl", "-o", "a.csv", "--mesh"], 2, ".glb"),
        (["run.jsonl", "-o", "run.jsonl", "--overwrite"], 1, "never written over"),
        (["run.jsonl", "-o", "dance.mp4", "--overwrite"], 1, "never written over"),
        (["run.jsonl", "-o", "old.csv"], 1, "--overwrite"),
        (["run.jsonl", "-o", "no/a.csv"], 1, "no folder"),
        (["run.jsonl", "-o", "a.mp4", "--texture", "gone.png"], 1, "no texture gone.png"),
        (["run.jsonl", "-o", "a.mp4", "--texture", "dance.mp4"], 1, "not a picture"),
        (["run.jsonl", "-o", "a.mp4", "--texture", "odd.png"], 2, "65×40"),
        (["gone.jsonl", "-o", "a.csv"], 1, "no results file"),
        (["dance.mp4", "-o", "a.csv"], 1, "not a bodystream/1 file"),
        (["broken.jsonl", "-o", "a.csv"], 1, "line 3 is damaged"),
        (["elsewhere.jsonl", "-o", "a.mp4"], 1, "--video"),
        (["camera.jsonl", "-o", "a.mp4"], 2, "--video"),
        (["run.jsonl", "-o", "a.mp4", "--video", "short.mp4"], 1, "ends before frame 2"),
        (["run.jsonl", "-o", "a.mp4", "--video", "large.mp4"], 1, "80×60"),
        (["run.jsonl", "-o", "a.mp4", "--video", "slow.mp4"], 1, "at 0.040 s"),
    ],
)
def test_mistakes(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, says: str
) -> None:
    footage.make_video(folder / "dance.mp4", frames=4)
    footage.make_video(folder / "short.mp4", frames=2)
    footage.make_video(folder / "large.mp4", frames=4, size=(80, 60))
    footage.make_video(folder / "slow.mp4", frames=4, rate=10)
    (folder / "old.csv").touch()
    cv2.imwrite("odd.png", np.zeros((40, 65, 3), np.uint8))
    whole = results(folder / "run.jsonl", path="dance.mp4").read_bytes().splitlines(keepends=True)
    (folder / "broken.jsonl").write_bytes(b"".join([*whole[:2], b"{}\n", *whole[2:]]))
    results(folder / "elsewhere.jsonl", path="gone.mp4")
    results(folder / "camera.jsonl", path=None, name="camera 0")
    assert convert(*arguments) == code
    out, err = capsys.readouterr()
    assert says in err
    assert err.count("\n") == 1
    assert out == ""
    assert "Traceback" not in err


def test_what_is_not_a_number_is_an_empty_cell(folder: Path) -> None:
    points = np.full((33, 3), np.nan, np.float32)
    person = Person(np.array([1, 2, 3, 4], np.float32), 0.5, 1, landmarks=points)
    lines = [record.encode_header(recordings.header()), record.encode_result(recordings.result(0, person))]
    (folder / "run.jsonl").write_bytes(b"".join(lines))
    assert convert("run.jsonl", "-o", "a.csv") == 0
    with Path("a.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert [row["box_x1"], row["point_0_x"], row["point_0_world_x"]] == ["3.0", "", ""]
