import base64
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import orjson
import pytest

from bodystream import __version__, results
from bodystream.errors import ResultsError, SourceNotFound
from bodystream.models.body.kinematics import joints_at, posed, skeleton_of
from bodystream.pipeline import record
from bodystream.pipeline.types import Dense, Person, Result, Silhouette, Span
from tests import recordings

HEADER = record.encode_header(recordings.header())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def write(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"".join(lines))
    return path


def four_lines() -> list[bytes]:
    return [record.encode_result(result) for result in recordings.four_results()]


def test_a_run_comes_back(path: Path) -> None:
    write(path, record.encode_header(recordings.header()), *four_lines(), record.encode_end(recordings.end()))
    recording = results.read(path)
    assert replace(recording.header, extra=recordings.EXTRA) == recordings.header()
    assert recording.header.extra == {"version": __version__} | recordings.EXTRA
    assert recording.end == recordings.end()
    assert not recording.cut
    for found, wanted in zip(recording, recordings.four_results(), strict=True):
        assert_same(found, wanted)
    assert whole_image(recordings.result(0, recordings.person(0)).silhouettes[0]).sum() == 20 * 8 - 4 * 2
    assert len(list(recording)) == 4, "a second pass begins again"


def assert_same(found: Result, wanted: Result) -> None:
    for name in ("index", "pts", "size", "spans", "dropped_before", "events", "file"):
        assert getattr(found, name) == getattr(wanted, name), name
    for a, b in zip(found.people, wanted.people, strict=True):
        assert_same_person(a, b)
    for mine, theirs in zip(found.silhouettes, wanted.silhouettes, strict=True):
        np.testing.assert_array_equal(whole_image(mine), whole_image(theirs))


def whole_image(silhouette: Silhouette | None) -> np.ndarray:
    image = np.zeros((recordings.HEIGHT, recordings.WIDTH), bool)
    if silhouette is not None:
        rows, columns = silhouette.inside.shape
        image[silhouette.y : silhouette.y + rows, silhouette.x : silhouette.x + columns] = silhouette.inside
    return image


def assert_same_person(found: Person, wanted: Person) -> None:
    assert found.id == wanted.id
    assert found.score == pytest.approx(wanted.score, abs=5e-5)
    np.testing.assert_allclose(found.box, wanted.box, atol=0.005001)
    for name, steps in (("landmarks", [0.01, 0.01, 0.001]), ("world", [1e-4, 1e-4, 1e-4, 1e-3])):
        a, b = getattr(found, name), getattr(wanted, name)
        assert (a is None) == (b is None), name
        if a is not None:
            assert a.dtype == np.float32
            assert (np.abs(a - b) <= np.array(steps) / 2 + 1e-6).all(), name

    assert (found.dense is None) == (wanted.dense is None)
    if found.dense is not None and wanted.dense is not None:
        assert_same_map(found.dense, wanted.dense)


def assert_same_map(found: Dense, wanted: Dense) -> None:
    assert (found.part.dtype, found.uv.dtype, found.confidence.dtype) == (np.uint8, np.float32, np.uint8)
    np.testing.assert_array_equal(found.part, wanted.part)
    np.testing.assert_array_equal(found.confidence, wanted.confidence)
    np.testing.assert_array_equal(found.to_image, wanted.to_image)
    np.testing.assert_allclose(found.uv, wanted.uv, rtol=0, atol=1 / 510 + 1e-6)


def test_writing_what_was_read_changes_nothing(path: Path) -> None:
    lines = four_lines()
    first = record.encode_header(recordings.header(), "2026-01-02T03:04:05+00:00")
    write(path, first, *lines, record.encode_end(recordings.end()))
    recording = results.read(path)
    assert record.encode_header(recording.header, "2027-01-01T00:00:00+00:00") == first
    assert [record.encode_result(result) for result in recording] == lines
    assert recording.end is not None
    assert record.encode_end(recording.end) == record.encode_end(recordings.end())


def test_times_are_exact_for_variable_frame_rates(path: Path) -> None:
    times = [Fraction(0), Fraction(1001, 30000), Fraction(7, 90), Fraction(123456789, 10**9)]
    lines = [record.encode_result(recordings.result(i, pts=time)) for i, time in enumerate(times)]
    assert b'"pts":0.077778,"time":"7/90"' in lines[2]
    write(path, record.encode_header(recordings.header()), *lines)
    assert [result.pts for result in results.read(path)] == times


def test_numbers_that_are_not_finite(path: Path) -> None:
    person = recordings.person(0, mask=False)
    points = person.landmarks.copy()
    points[3, 1] = np.nan
    line = record.encode_result(recordings.result(0, replace(person, landmarks=points)))
    write(path, record.encode_header(recordings.header()), line)
    (result,) = results.read(path)
    assert np.isnan(result.people[0].landmarks[3, 1])
    assert np.isfinite(result.people[0].landmarks).sum() == 98


def test_device_times_are_kept_apart(path: Path) -> None:
    spans = (Span("segment", 0, 5_000, 1_000, 9_000, 7_000),)
    write(
        path,
        record.encode_header(recordings.header()),
        record.encode_result(recordings.result(0, spans=spans)),
    )
    (result,) = results.read(path)
    assert result.spans == spans


def test_poses_come_back(path: Path) -> None:
    wanted = recordings.pose3d(3)
    person = replace(recordings.person(0), pose3d=wanted)
    write(path, HEADER, record.encode_result(recordings.result(0, person)))
    (result,) = results.read(path)
    found = result.people[0].pose3d
    assert found is not None
    assert (np.abs(found.joints - wanted.joints) <= [5.1e-5, 5.1e-5, 5.1e-5, 5.1e-4]).all()
    np.testing.assert_allclose(found.root, wanted.root, rtol=0, atol=5.1e-5)
    np.testing.assert_allclose(found.lengths, wanted.lengths, rtol=0, atol=5.1e-5)
    again = joints_at(*posed(skeleton_of(found.lengths), found.turns, found.root))
    np.testing.assert_allclose(again, wanted.joints[:, :3], rtol=0, atol=5e-4)  # angles tell the joints again


def test_dense_maps_come_back(path: Path) -> None:
    random = np.random.default_rng(0)
    dense = Dense(
        random.integers(0, 25, (128, 128), np.uint8),
        random.random((2, 128, 128), np.float32),
        random.integers(0, 256, (128, 128), np.uint8),
        np.array([[1 / 3, -0.2, 10.7], [0.2, 1 / 3, -5.25]]),
    )
    dense.uv[:, 0, 0], dense.uv[:, 0, 1] = 0, 1
    person = replace(recordings.person(0), dense=dense)
    write(path, HEADER, record.encode_result(recordings.result(0, person)))
    (result,) = results.read(path)
    found = result.people[0].dense
    assert found is not None
    assert_same_map(found, dense)
    assert found.uv[:, 0, :2].tolist() == [[0, 1], [0, 1]]
    (iuv,) = result.surfaces
    assert iuv is not None
    assert iuv.part.shape == result.silhouettes[0].inside.shape


@pytest.mark.parametrize(
    "broken", ["not base64", "no PNG", "grey", "16 bits", "part 25", "two rows", "missing"]
)
def test_a_broken_dense_map_is_named(path: Path, broken: str) -> None:
    images = {
        "grey": np.zeros((4, 4), np.uint8),
        "16 bits": np.zeros((4, 4, 4), np.uint16),
        "part 25": np.full((4, 4, 4), 25, np.uint8),
    }
    line = orjson.loads(record.encode_result(recordings.result(0, recordings.person(0))))
    dense = line["people"][0]["dense"]
    if broken in images:
        dense["iuv"] = base64.b64encode(cv2.imencode(".png", images[broken])[1].tobytes()).decode()
    elif broken == "two rows":
        dense["to_image"] = [[1, 0], [0, 1]]
    elif broken == "missing":
        del dense["iuv"]
    else:
        dense["iuv"] = "?" if broken == "not base64" else base64.b64encode(b"GIF89a").decode()
    write(path, HEADER, orjson.dumps(line) + b"\n")
    with pytest.raises(ResultsError, match="line 2 is not bodystream/1") as caught:
        list(results.read(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", ["nothing of it", "half of it", "all but the newline"])
def test_what_kill_9_leaves(path: Path, keep: str) -> None:
    lines = four_lines()
    last = {"nothing of it": b"", "half of it": lines[3][:-40], "all but the newline": lines[3][:-1]}[keep]
    write(path, record.encode_header(recordings.header()), *lines[:3], last)
    recording = results.read(path)
    assert recording.cut == (keep == "half of it")
    assert recording.end is None
    assert len(list(recording)) == (4 if keep == "all but the newline" else 3)


def test_end_is_found_behind_long_lines(path: Path) -> None:
    padding = orjson.dumps({"type": "later", "filler": "x" * 500_000}) + b"\n"
    finish = orjson.dumps(orjson.loads(record.encode_end(recordings.end())) | {"filler": "x" * 300_000})
    write(path, record.encode_header(recordings.header()), padding, finish, b"\n\n")
    assert results.read(path).end == recordings.end()


def test_later_versions_may_add_fields_and_lines(path: Path) -> None:
    lines = [record.encode_header(recordings.header()), four_lines()[1], record.encode_end(recordings.end())]
    added = [
        orjson.dumps(orjson.loads(part) | {"new": {"a": 1}}) for line in lines for part in line.splitlines()
    ]
    write(path, b"\n".join([added[0], b'{"type":"surface","name":"x"}', *added[1:]]), b"\n")
    recording = results.read(path)
    assert recording.header.extra == recordings.EXTRA | {"version": __version__, "new": {"a": 1}}
    assert [result.events for result in recording] == [("scene cut",)]
    assert recording.end == recordings.end()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a bodystream/1 file"),
        (b"\x00\x00\x00\x18ftypmp42" * 99, "not a bodystream/1 file"),
        (b'[{"image_id": 1}]', "not a bodystream/1 file"),
        (b'{"type":"header"', "not a bodystream/1 file"),
        (HEADER.replace(b"bodystream/1", b"bodystream/2"), "is bodystream/2"),
        (HEADER.replace(b'"name":"dance.mp4",', b""), "line 1 is not bodystream/1"),
    ],
)
def test_a_foreign_file_is_refused_at_once(path: Path, content: bytes, says: str) -> None:
    with pytest.raises(ResultsError, match=says) as caught:
        results.read(write(path, content))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"type":"fra\n', "line 3 is damaged"),
        (b"[1]\n", "line 3 is damaged"),
        (HEADER, "line 3 is a second header"),
        (four_lines()[0].replace(b'"people"', b'"persons"'), "line 3 is not bodystream/1"),
        (four_lines()[0].replace(b'"0"', b'"1/0"'), "line 3 is not bodystream/1"),
        (four_lines()[3].replace(b'"box":[', b'"box":[1,'), "line 3 is not bodystream/1"),
    ],
)
def test_a_bad_line_in_the_middle_is_named(path: Path, line: bytes, says: str) -> None:
    recording = results.read(write(path, HEADER, four_lines()[0], line, four_lines()[0]))
    with pytest.raises(ResultsError, match=says) as caught:
        list(recording)
    assert "\n" not in str(caught.value)


def test_no_such_file(path: Path) -> None:
    with pytest.raises(SourceNotFound, match="no results file"):
        results.read(path)


def test_reading_holds_one_line_at_a_time(path: Path) -> None:
    line = four_lines()[0]
    with path.open("wb") as file:
        file.write(HEADER)
        file.writelines(line for _ in range(100))
        file.write(b"damaged\n")
    iterator = iter(results.read(path))
    assert [next(iterator).index for _ in range(100)] == [0] * 100, "the damage ahead is not met yet"
    with pytest.raises(ResultsError, match="line 102"):
        next(iterator)


def test_settings_of_every_kind_that_flags_have() -> None:
    settings = {
        "cache": Path("a/b"),
        "target": Fraction(30),
        "size": (1280, 720),
        "names": ["a"],
        "none": None,
    }
    line = orjson.loads(record.encode_header(replace(recordings.header(), settings=settings)))
    assert line["settings"] == {
        "cache": "a/b",
        "target": "30",
        "size": [1280, 720],
        "names": ["a"],
        "none": None,
    }


def test_end_of_a_failed_run_without_numbers() -> None:
    end = recordings.end(failed="detect: no memory", fps=None, rows=(), counts={"decode errors": 1})
    assert record.decode_end(orjson.loads(record.encode_end(end))) == end
    assert asdict(end)["failed"] == "detect: no memory"
