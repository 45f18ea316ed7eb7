"""Recordings for the viewer Rerun, read back with its own reader; skipped without the extra `viewer`."""

import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bodystream.errors import OutputFailed, SinkError
from bodystream.models.body.kinematics import skeleton_of
from bodystream.models.body.mesh import own_segments, own_surface
from bodystream.models.body.skin import blend, weighted
from bodystream.pipeline.sinks.rerun import RerunSink
from bodystream.pipeline.types import Frame, Result
from tests import recordings

# A table of contents is written last by those who write one; a recording that is whole at every moment has none.
pytestmark = pytest.mark.filterwarnings("ignore:RRD file has no footer")
FLIP = np.array([1, -1, -1])  # a level camera's axes to the world's


def without_rerun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_rerun(monkeypatch)
    for path in (tmp_path / "a.rrd", None):
        with pytest.raises(OutputFailed, match=r"bodystream\[viewer\]"):
            RerunSink(path)


@pytest.fixture
def chunk() -> object:
    pytest.importorskip("rerun")
    return pytest.importorskip("rerun.chunk")


def header() -> object:
    return recordings.header(path=None)


def write(path: Path, results: list[Result], *, mesh: bool = False, close: bool = True) -> RerunSink:
    sink = RerunSink(path, mesh=mesh)
    sink.open(header())
    for result in results:
        image = np.full((result.size[1], result.size[0], 3), result.index, np.uint8)
        (span,) = sink.write(Frame(result.index, result.pts, 0, image, "fake"), result)
        assert (span.stage, span.frame) == ("write rerun", result.index)
    if close:
        sink.close(recordings.end())
    return sink


def rows(path: Path, chunk: object) -> dict[str, list[tuple[float, dict[str, object]]]]:
    """By entity: media time, s (None for what is always so), and components."""
    found: dict[str, list[tuple[float, dict[str, object]]]] = {}
    for piece in chunk.RrdReader(str(path)).stream():
        for row in piece.to_record_batch().to_pylist():
            time = row.get("media time")
            seconds = None if time is None else getattr(time, "total_seconds", lambda t=time: t / 1e9)()
            components = {name.rpartition(":")[2]: value for name, value in row.items() if value is not None}
            found.setdefault(str(piece.entity_path), []).append((seconds, components))
    return found


def test_all_of_it_on_media_time(tmp_path: Path, chunk: object) -> None:
    results = recordings.four_results(pose=True)
    write(tmp_path / "a.rrd", results, mesh=True)
    found = rows(tmp_path / "a.rrd", chunk)
    times = [float(result.pts) for result in results]
    assert [time for time, _ in found["/camera/image"] if time is not None] == pytest.approx(times, abs=1e-6)
    assert [time for time, _ in found["/latency/detect"]] == pytest.approx(times, abs=1e-6)
    assert found["/latency/detect"][0][1]["scalars"] == [9.0]
    joints = found["/people/1/joints"]
    assert joints[0][0] == pytest.approx(times[1], abs=1e-6)
    wanted = recordings.pose3d(0).joints[:, :3] * FLIP
    assert np.array(joints[0][1]["positions"]) == pytest.approx(wanted, abs=1e-5)
    landmarks = found["/camera/image/people/1/landmarks"][0][1]["positions"]
    assert len(landmarks) == int((recordings.person(0).landmarks[:, 2] >= 0.5).sum())
    assert {
        "/camera/image/masks",
        "/camera/image/surface",
        "/camera/image/people/4/box",
        "/events",
    } <= found.keys()
    # In the third frame there are four people, in the fourth only the second, who has no pose.
    gone = [time for time, row in found["/people/3"] if row.get("is_recursive")]
    assert gone == pytest.approx([times[3]], abs=1e-6)
    pinhole = next(row for time, row in found["/camera/image"] if time is None)
    assert np.ravel(pinhole["image_from_camera"]) == pytest.approx([50, 0, 0, 0, 50, 0, 32, 24, 1])


def test_bodies(tmp_path: Path, chunk: object) -> None:
    results = [recordings.result(i, recordings.person(0, pose=True)) for i in range(2)]
    write(tmp_path / "a.rrd", results, mesh=True)
    write(tmp_path / "b.rrd", results)
    assert "/people/1/body" not in rows(tmp_path / "b.rrd", chunk)
    found = [row for _, row in rows(tmp_path / "a.rrd", chunk)["/people/1/body"]]
    assert sum("triangle_indices" in row for row in found) == 1, "once, as long as the bones stay"
    places = [row["vertex_positions"] for row in found if "vertex_positions" in row]
    pose = recordings.pose3d(0)
    skeleton = skeleton_of(pose.lengths)
    body = blend(weighted(own_surface(skeleton)), own_segments(skeleton, pose.turns, pose.root))
    assert len(places) == 2
    assert np.array(places[1]) == pytest.approx(body * FLIP, abs=1e-5)


def test_a_recording_is_whole_at_every_moment(tmp_path: Path, chunk: object) -> None:
    results = [recordings.result(i, recordings.person(0, pose=True)) for i in range(10)]
    sink = write(tmp_path / "a.rrd", results, close=False)
    assert len(rows(tmp_path / "a.rrd", chunk)["/people/1/joints"]) == 10
    sink.close(None)


def test_a_full_disk(tmp_path: Path, chunk: object) -> None:
    results = [recordings.result(i, recordings.person(0, pose=True)) for i in range(200)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    sink = RerunSink(tmp_path / "a.rrd")
    sink.open(header())
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    try:
        with pytest.raises(OutputFailed, match=r"cannot write .*a\.rrd"):
            for result in results:
                image = np.zeros((48, 64, 3), np.uint8)
                sink.write(Frame(result.index, result.pts, 0, image, "fake"), result)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    sink.close(None)
    assert 1 < len(rows(tmp_path / "a.rrd", chunk)["/people/1/joints"]) < 200


def test_results_without_poses(tmp_path: Path, chunk: object) -> None:
    sink = RerunSink(tmp_path / "a.rrd", mesh=True)
    sink.open(replace(header(), extra={}))
    result = recordings.four_results()[2]
    sink.write(Frame(2, result.pts, 0, np.zeros((48, 64, 3), np.uint8), "fake"), result)
    sink.close(None)
    sink.close(None)
    assert not any(entity.startswith("/people") for entity in rows(tmp_path / "a.rrd", chunk))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a display")
def test_no_display(chunk: object) -> None:
    with pytest.raises(SinkError, match="DISPLAY"):
        RerunSink(None, environment={})


def test_rerun_s_own_program_reads_it(tmp_path: Path, chunk: object) -> None:
    write(tmp_path / "a.rrd", recordings.four_results(pose=True))
    words = [sys.executable, "-m", "rerun", "rrd", "stats", str(tmp_path / "a.rrd")]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=60, env=os.environ | {"HOME": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    assert "/people/1/joints" in done.stdout
