"""What each format looks like, small enough to check by hand; and the page that explains them."""

import base64
import csv
import io
import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import orjson
import pyarrow.parquet
import pytest
from pycocotools import mask as coco
from pycocotools.coco import COCO

from bodystream.models.body.kinematics import JOINTS, global_turns, matrices
from bodystream.models.body.parts import PARTS
from bodystream.models.body.skeleton import BONES, SEGMENTS
from bodystream.models.keypoints import COCO as COCO_17
from bodystream.models.keypoints import COCO_KEYPOINTS, KEYPOINTS, VNECT_KEYPOINTS
from bodystream.pipeline import record
from bodystream.pipeline.sinks import open_sinks
from bodystream.pipeline.sinks.coco import coco_people, image_id
from bodystream.pipeline.types import Dense, Header, Mask, Person, Result, SourceInfo, Span
from tests import recordings

PAGE = Path(__file__).parents[2] / "docs" / "results.md"
TWO_POINTS = Header(SourceInfo("a.mp4", 4, 3, None, False, None), (), {}, ("left hip", "nose"))


def somebody() -> Person:
    """A box of 2 × 3 px at (1, 0), all of it inside the mask."""
    return Person(
        box=np.array([1, 0, 3, 3], np.float32),
        score=0.98765,
        id=7,
        mask=Mask(np.full((3, 2), 255, np.uint8), np.array([[1.0, 0, 1], [0, 1, 0]])),
        landmarks=np.array([[1.234, 2.5, 0.9994], [np.nan, 0, 1]], np.float32),
        world=np.array([[0.12345, -0.5, 1e-9, 1], [0, 0, 0, 0.25]], np.float32),
    )


def one(**changes: object) -> Result:
    fields = {"index": 5, "pts": Fraction(1, 3), "size": (4, 3), "people": (somebody(),)}
    return Result(**(fields | changes))


def written(path: Path, header: Header, *results: Result) -> Path:
    (sink,) = open_sinks([str(path)], tell=print)
    sink.open(header)
    for result in results:
        sink.write(None, result)
    sink.close(recordings.end())
    return path


def test_json_lines() -> None:
    spans = (Span("detect", 5, 1_000_000_500, 1_499, 2_000_000, None),)
    result = one(spans=spans, events=("scene cut", "quality: lighter net"), file="005.jpg")
    cut, quality, frame = record.encode_result(result).splitlines()
    assert cut == b'{"type":"event","index":5,"what":"scene cut"}'
    assert quality == b'{"type":"event","index":5,"what":"quality","detail":"lighter net"}'
    assert frame == (
        b'{"type":"frame","index":5,"pts":0.333333,"time":"1/3","file":"005.jpg","width":4,"height":3,'
        b'"dropped_before":0,"people":[{"id":7,"score":0.9877,"box":[1.0,0.0,3.0,3.0],'
        b'"mask":{"size":[3,4],"counts":"363"},'  # 3 outside, 6 inside, 3 outside, down the columns
        b'"keypoints":[[1.23,2.5,0.999],[null,0.0,1.0]],'
        b'"world":[[0.1235,-0.5,0.0,1.0],[0.0,0.0,0.0,0.25]]}],"spans":[["detect",5,1000000,1,2000,null]]}'
    )


def test_what_is_absent() -> None:
    bare = Person(np.array([1, 0, 3, 3], np.float32), 0.5)
    line = orjson.loads(record.encode_result(one(people=(bare,))))
    assert line["people"] == [{"id": 0, "score": 0.5, "box": [1.0, 0.0, 3.0, 3.0]}]
    assert not {"file", "spans"} & line.keys()


def test_csv(tmp_path: Path) -> None:
    bare = Person(np.array([1, 0, 3, 3], np.float32), 0.5, 8)
    path = written(
        tmp_path / "a.csv", TWO_POINTS, one(), one(people=()), one(people=(bare,), file='a,"b".jpg')
    )
    header, *rows = csv.reader(io.StringIO(path.read_text()))
    assert header[:9] == ["frame", "time_s", "file", "id", "score", "box_x0", "box_y0", "box_x1", "box_y1"]
    assert header[9:12] == ["left_hip_x", "left_hip_y", "left_hip_confidence"]
    assert header[15:19] == [f"left_hip_world_{field}" for field in ("x", "y", "z", "confidence")]
    assert rows[0][:9] == ["5", "0.333333", "", "7", "0.9877", "1.0", "0.0", "3.0", "3.0"]
    assert rows[0][9:15] == ["1.23", "2.5", "0.999", "", "0.0", "1.0"]
    assert rows[0][15:] == ["0.1235", "-0.5", "0.0", "1.0", "0.0", "0.0", "0.0", "0.25"]
    assert rows[1] == ["5", "0.333333", 'a,"b".jpg', "8", "0.5", "1.0", "0.0", "3.0", "3.0", *[""] * 14]
    assert len(rows) == 2


def posed() -> Header:
    return replace(TWO_POINTS, extra={"joints": list(JOINTS), "camera": {"up": [0, -1, 0]}})


def test_poses_in_csv_and_npz(tmp_path: Path) -> None:
    pose = recordings.pose3d(1)
    results = (one(people=(replace(somebody(), pose3d=pose), replace(somebody(), mask=None))),)
    header, *rows = csv.reader(io.StringIO(written(tmp_path / "a.csv", posed(), *results).read_text()))
    assert header[23:27] == [f"pelvis_pose3d_{field}" for field in ("x", "y", "z", "confidence")]
    assert header[-1] == "right_toe_pose3d_confidence"
    assert [float(cell) for cell in rows[0][23:26]] == pytest.approx(pose.root, abs=1e-4)
    assert rows[1][23:] == [""] * 92
    assert rows[1][:23] == rows[0][:23]

    with np.load(written(tmp_path / "a.npz", posed(), *results), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["person_joints"][0], pose.joints)
        np.testing.assert_array_equal(arrays["person_root"][0], pose.root)
        np.testing.assert_array_equal(arrays["person_bones"][0], pose.lengths)
        turns = global_turns(matrices(arrays["person_turns"][0]))
        assert turns == pytest.approx(pose.turns, abs=1e-5)
        assert all(
            np.isnan(arrays[f"person_{name}"][1]).all() for name in ("joints", "root", "turns", "bones")
        )
        assert (arrays["joints"].tolist(), arrays["bones"].tolist()) == (list(JOINTS), list(BONES))
        assert arrays["segments"].tolist() == list(SEGMENTS)


def test_parquet(tmp_path: Path) -> None:
    bare = Person(np.array([1, 0, 3, 3], np.float32), 0.5, 8)
    person = replace(somebody(), pose3d=recordings.pose3d(1))
    results = (one(people=(person, bare), file="a.jpg"), one(people=()))
    table = pyarrow.parquet.read_table(written(tmp_path / "a.parquet", posed(), *results))
    names = next(csv.reader(io.StringIO(written(tmp_path / "a.csv", posed(), *results).read_text())))
    assert table.column_names == names
    first, second = table.to_pylist()
    assert (first["frame"], first["time_s"], first["file"], first["id"]) == (5, 1 / 3, "a.jpg", 7)
    assert first["left_hip_x"] == np.float32(1.234)
    assert first["nose_x"] is None, "what is not a number is null"
    assert first["right_toe_pose3d_z"] == recordings.pose3d(1).joints[-1, 2]
    assert second["box_y1"] == 3
    assert {second[name] for name in names[9:]} == {None}
    assert json.loads(table.schema.metadata[b"bodystream"])["schema"] == "bodystream/1"


@pytest.mark.slow
def test_parquet_by_duckdb_and_pandas(tmp_path: Path) -> None:
    duckdb, pandas = pytest.importorskip("duckdb"), pytest.importorskip("pandas")
    results = [one(index=i, people=(replace(somebody(), pose3d=recordings.pose3d(1)),)) for i in range(3000)]
    path = written(tmp_path / "a.parquet", posed(), *results)
    query = f"select count(*), max(frame), avg(pelvis_pose3d_z), count(nose_x) from '{path}' where id = 7"
    count, last, depth, noses = duckdb.sql(query).fetchall()[0]
    assert (count, last, noses) == (3000, 2999, 0)
    assert depth == pytest.approx(recordings.pose3d(1).root[2])
    frame = pandas.read_parquet(path)
    assert frame["frame"].tolist() == list(range(3000))
    assert frame["pelvis_pose3d_z"].to_numpy() == pytest.approx(depth)


def test_npz(tmp_path: Path) -> None:
    bare = Person(np.array([1, 0, 3, 3], np.float32), 0.5, 8)
    path = written(
        tmp_path / "a.npz", TWO_POINTS, one(people=(bare, somebody())), one(people=(), dropped_before=2)
    )
    with np.load(path, allow_pickle=False) as arrays:
        found = dict(arrays)
    assert found["frame_index"].tolist() == [5, 5]
    assert found["frame_time"].tolist() == [[1, 3], [1, 3]]
    assert found["frame_time_s"].tolist() == [1 / 3, 1 / 3]
    assert found["frame_size"].tolist() == [[4, 3], [4, 3]]
    assert found["frame_people"].tolist() == [2, 0]
    assert found["frame_dropped_before"].tolist() == [0, 2]
    assert found["person_frame"].tolist() == [5, 5]
    assert found["person_id"].tolist() == [8, 7]
    assert found["person_box"].tolist() == [[1, 0, 3, 3]] * 2
    assert np.isnan(found["person_keypoints"][0]).all()
    np.testing.assert_array_equal(found["person_keypoints"][1], somebody().landmarks)
    np.testing.assert_array_equal(found["person_world"][1], somebody().world)
    assert found["person_mask_end"].tolist() == [0, 3]
    assert found["mask_codes"].tobytes() == b"363"
    assert found["person_dense_end"].tolist() == [0, 0]
    assert np.isnan(found["person_dense_to_image"]).all()
    assert found["keypoints"].tolist() == ["left hip", "nose"]
    assert json.loads(str(found["header"]))["schema"] == "bodystream/1"


def dense() -> Dense:
    """A torso over a left hand, two map pixels on the two columns of `somebody`, three image rows each."""
    uv = np.array([[[0.2], [1.0]], [[0.4], [0.0]]], np.float32)
    confidence = np.array([[255], [51]], np.uint8)
    return Dense(np.array([[2], [4]], np.uint8), uv, confidence, np.array([[2.0, 0, 1], [0, 1.5, 0]]))


def test_a_dense_map_in_json_lines_and_in_npz(tmp_path: Path) -> None:
    person = replace(somebody(), dense=dense())
    code = orjson.loads(record.encode_result(one(people=(person,))))["people"][0]["dense"]
    assert code["to_image"] == [[2.0, 0.0, 1.0], [0.0, 1.5, 0.0]]
    image = cv2.imdecode(np.frombuffer(base64.b64decode(code["iuv"]), np.uint8), cv2.IMREAD_UNCHANGED)
    # Blue 255 V, green 255 U, red part, alpha confidence.
    assert image.tolist() == [[[102, 51, 2, 255]], [[0, 255, 4, 51]]]

    bare = replace(person, mask=None)
    path = written(tmp_path / "a.npz", TWO_POINTS, one(people=(somebody(), bare, bare)))
    with np.load(path, allow_pickle=False) as arrays:
        codes, ends = arrays["dense_codes"], arrays["person_dense_end"]
        np.testing.assert_array_equal(arrays["person_dense_to_image"][2], dense().to_image)
    png = base64.b64decode(code["iuv"])
    assert ends.tolist() == [0, len(png), 2 * len(png)]
    assert codes[ends[1] : ends[2]].tobytes() == png


def test_iuv(tmp_path: Path) -> None:
    header = replace(TWO_POINTS, extra={"parts": list(PARTS)})
    person = replace(somebody(), dense=dense())
    path = written(tmp_path / "a.iuv", header, one(people=(person,)), one(file="b.jpg", people=()))
    assert {entry.name for entry in path.iterdir()} == {"000005.png", "b.png"}
    image = cv2.imread(str(path / "000005.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]  # red, green, blue
    # The border between the parts lies in the middle of the second row, which goes to the first of two equals.
    torso, hand, nothing = [2, 51, 102], [4, 255, 0], [0, 0, 0]
    assert image.tolist() == [
        [nothing, torso, torso, nothing],
        [nothing, torso, torso, nothing],
        [nothing, hand, hand, nothing],
    ]
    assert not cv2.imread(str(path / "b.png")).any()


def test_npz_without_anything(tmp_path: Path) -> None:
    with np.load(written(tmp_path / "a.npz", TWO_POINTS), allow_pickle=False) as arrays:
        assert arrays["frame_index"].shape == (0,)
        assert arrays["person_keypoints"].shape == (0, 2, 3)


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # pycocotools' own, under numpy 2
def test_coco(tmp_path: Path) -> None:
    landmarks = np.arange(99, dtype=np.float32).reshape(33, 3)
    landmarks[:, 2] = 0.5
    person = Person(somebody().box, 0.9, 1, somebody().mask, landmarks)
    path = written(tmp_path / "a.coco.json", TWO_POINTS, one(people=(person,), file="000000000042.jpg"))
    (found,) = json.loads(path.read_text())
    assert found["image_id"] == 42
    assert found["category_id"] == 1
    assert found["bbox"] == [1, 0, 2, 3]
    assert coco.decode(found["segmentation"]).tolist() == [[0, 1, 1, 0]] * 3
    left_hip = list(COCO_17).index(KEYPOINTS.index("left_hip"))
    x, y, confidence = found["keypoints"][3 * left_hip : 3 * left_hip + 3]
    assert [x, y, confidence] == [landmarks[23, 0] - 0.5, landmarks[23, 1] - 0.5, 0.5]
    assert len(found["keypoints"]) == 51
    truth = COCO()
    truth.dataset = {"images": [{"id": 42}], "annotations": [], "categories": [{"id": 1}], "info": {}}
    truth.createIndex()
    assert truth.loadRes(str(path)).anns[1]["area"] == 6


def test_coco_of_other_keypoints() -> None:
    direct = np.arange(51, dtype=np.float32).reshape(17, 3)
    (found,) = coco_people(one(people=(replace(somebody(), landmarks=direct),), keypoints=COCO_KEYPOINTS))
    assert found["keypoints"] == (direct - [0.5, 0.5, 0]).ravel().tolist()
    of_vnect = np.arange(63, dtype=np.float32).reshape(21, 3) + 1
    (found,) = coco_people(one(people=(replace(somebody(), landmarks=of_vnect),), keypoints=VNECT_KEYPOINTS))
    points = np.array(found["keypoints"]).reshape(17, 3)
    assert not points[:5].any()  # VNect knows neither eyes nor ears
    assert points[5].tolist() == (of_vnect[5] - [0.5, 0.5, 0]).tolist()  # the left shoulder
    assert points[16].tolist() == (of_vnect[10] - [0.5, 0.5, 0]).tolist()  # the right ankle
    (found,) = coco_people(one(keypoints=("left hip", "tail")))
    assert "keypoints" not in found


@pytest.mark.parametrize(
    ("file", "number"),
    [
        ("000000009483.jpg", 9483),
        ("COCO_val2014_000000000042.jpg", 42),
        ("frame_0007.png", 7),
        ("IMG2.jpg", 5),
        ("a.jpg", 5),
        (None, 5),
    ],
)
def test_image_ids(file: str | None, number: int) -> None:
    assert image_id(one(file=file)) == number


def test_trace(tmp_path: Path) -> None:
    spans = (
        Span("detect", 5, 3_000_000, 250_000, 2_000_000, 1_500_000),
        Span("decode", 5, 1_000_000, 0, 500_500),
    )
    path = written(tmp_path / "a.trace.json", TWO_POINTS, one(spans=spans, events=("scene cut",)))
    process, decode_row, decode, detect_row, detect, mark, counter = json.loads(path.read_text())
    assert process["args"]["name"] == "bodystream a.mp4"
    assert [row["args"]["name"] for row in (decode_row, detect_row)] == ["decode", "detect"]
    assert (decode["ts"], decode["dur"]) == (0, 500.5)
    assert (detect["ts"], detect["dur"]) == (2000, 2000)
    assert detect["args"] == {"frame": 5, "queue_us": 250, "device_us": 1500}
    assert decode["tid"] != detect["tid"]
    assert (mark["name"], mark["ts"]) == ("scene cut", 4000)
    assert counter["args"] == {"people": 1, "dropped": 0}


def test_the_example_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    header = Header(recordings.header().source, (), {}, KEYPOINTS)
    written(tmp_path / "dance.jsonl", header, *recordings.four_results())
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile(example, str(PAGE), "exec"), {})  # the page of this repository
    first, *lines, last = capsys.readouterr().out.splitlines()
    assert first == "dance.mp4 64 48"
    assert len(lines) == 5
    assert lines[0].startswith("1 0.0333")
    assert last == "4"


def test_the_lines_of_the_page_can_be_read() -> None:
    header, frame, end = (
        json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    )
    assert record.decode_header(header).source.rate == Fraction(30000, 1001)
    for name in ("mask", "dense", "pose3d"):  # too long for a page
        frame["people"][0].pop(name, None)
    assert record.decode_result(frame).spans == (Span("detect", 1, 1_000_002_000_000, 5_000, 9_000_000),)
    assert record.decode_end(end).met is True


def test_the_page_knows_every_key() -> None:
    page = PAGE.read_text()
    header = orjson.loads(record.encode_header(recordings.header(), "now"))
    shown = one(people=(replace(somebody(), dense=dense()),), file="a", spans=(Span("a", 0, 0, 0, 0),))
    result = orjson.loads(record.encode_result(shown))
    end = orjson.loads(record.encode_end(recordings.end()))
    for keys in (
        header,
        header["source"],
        header["surface"],
        header["models"][0],
        result,
        result["people"][0],
        result["people"][0]["dense"],
        end,
        end["stages"]["detect"],
    ):
        assert [key for key in keys if f'"{key}"' not in page and f"`{key}`" not in page] == []
