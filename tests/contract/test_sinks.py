"""Every sink through the same cases; what is particular to one format is in tests/golden."""

import importlib
import json
import os
import resource
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import av
import cv2
import ezc3d
import numpy as np
import pyarrow.parquet
import pytest

from bodystream import results
from bodystream.errors import OutputExists, OutputFailed, UnknownSuffix, UsageError
from bodystream.models.keypoints import COCO_KEYPOINTS, VNECT_KEYPOINTS
from bodystream.pipeline.sinks import ALONE, WRITERS, open_sinks
from bodystream.pipeline.sinks.output import part
from bodystream.pipeline.types import End, Frame, Result, Sink
from tests import recordings
from tests.readers import Glb, read_bvh, read_trc


def make(path: Path | str, **options: object) -> Sink:
    (sink,) = open_sinks([str(path)], tell=lambda _line: None, **options)
    return sink


def picture(result: Result) -> Frame:
    random = np.random.default_rng(result.index)
    image = random.integers(0, 255, (result.size[1], result.size[0], 3), dtype=np.uint8)
    return Frame(result.index, result.pts, 0, image, "fake")


def write(sink: Sink, found: Sequence[Result]) -> None:
    for result in found:
        spans = sink.write(picture(result), result)
        assert spans
        assert all(span.frame == result.index and span.host_ns >= 0 for span in spans)


def header() -> object:
    return recordings.header(path=None)


# How many results, or people, a reader of each format finds; the reader fails where the file is not whole.


def csv_rows(path: Path) -> int:
    lines = path.read_text().splitlines()
    assert all(line.count(",") == lines[0].count(",") for line in lines)
    return len(lines) - 1


def npz_people(path: Path) -> int:
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["frame_people"].sum() == len(arrays["person_id"])
        return len(arrays["person_id"])


def trace_frames(path: Path) -> int:
    return sum(event["ph"] == "C" for event in json.loads(path.read_text()))


def video_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def iuv_pictures(path: Path) -> int:
    for picture in path.glob("*.png"):
        image = cv2.imread(str(picture))
        assert image is not None and image.shape == (recordings.HEIGHT, recordings.WIDTH, 3)
    return sum(1 for _ in path.glob("*.png"))


def files(path: Path) -> list[Path]:
    """The files that a sink makes: itself, or one a person."""
    if path.suffix in ALONE:
        return sorted(path.parent.glob(f"{path.stem}.*{path.suffix}"))
    return [path] if path.exists() else []


def trc_poses(path: Path) -> int:
    return sum(int(np.isfinite(read_trc(file)[2]["Hip"][:, 0]).sum()) for file in files(path))


def c3d_poses(path: Path) -> int:
    return sum(
        int((ezc3d.c3d(str(file))["data"]["meta_points"]["residuals"][0, 0] >= 0).sum())
        for file in files(path)
    )


def bvh_people(path: Path) -> int:
    return sum(len(read_bvh(file).places["Hips"]) > 0 for file in files(path))


def rrd_frames(path: Path) -> int:
    chunk = importlib.import_module("rerun.chunk")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "RRD file has no footer")
        pieces = [
            piece for piece in chunk.RrdReader(str(path)).stream() if piece.entity_path == "/latency/detect"
        ]
    return sum(piece.num_rows for piece in pieces)


FRAMES, PEOPLE, POSES, IDS = "frames", "people", "poses", "ids"
READERS: dict[str, tuple[str, Callable[[Path], int]]] = {
    ".jsonl": (FRAMES, lambda path: len(list(results.read(path)))),
    ".csv": (PEOPLE, csv_rows),
    ".iuv": (FRAMES, iuv_pictures),
    ".npz": (PEOPLE, npz_people),
    ".coco.json": (PEOPLE, lambda path: len(json.loads(path.read_text()))),
    ".trace.json": (FRAMES, trace_frames),
    ".bvh": (IDS, bvh_people),
    ".c3d": (POSES, c3d_poses),
    ".glb": (IDS, lambda path: len(Glb(path).people)),
    ".parquet": (PEOPLE, lambda path: pyarrow.parquet.read_table(path).num_rows),
    ".rrd": (FRAMES, rrd_frames),
    ".trc": (POSES, trc_poses),
    ".mp4": (FRAMES, video_frames),
    ".mkv": (FRAMES, video_frames),
}
VIDEOS = {".mp4", ".mkv"}
MOTION = {".glb", *ALONE}
FOLDER = ".iuv"


def check(path: Path, suffix: str, found: Sequence[Result]) -> None:
    assert READERS[suffix][1](path) == expected(suffix, found)


def expected(suffix: str, found: Sequence[Result]) -> int:
    people = [person for result in found for person in result.people]
    posed = [person.id for person in people if person.pose3d is not None]
    counts = {FRAMES: len(found), PEOPLE: len(people), POSES: len(posed), IDS: len(set(posed))}
    return counts[READERS[suffix][0]]


def test_no_sink_is_left_out() -> None:
    assert READERS.keys() == WRITERS.keys()


@pytest.fixture(params=sorted(READERS))
def suffix(request: pytest.FixtureRequest) -> str:
    if request.param == ".rrd":
        pytest.importorskip("rerun")  # the extra `viewer`
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path, suffix: str) -> Path:
    return tmp_path / f"out{suffix}"


@pytest.mark.parametrize("count", [1, 4])
def test_no_one_and_many_people(path: Path, suffix: str, count: int) -> None:
    sink = make(path)
    found = recordings.four_results(pose=True)[-count:] if count == 4 else [recordings.result(0)]
    sink.open(header())
    write(sink, found)
    sink.close(recordings.end())
    check(path, suffix, found)
    assert sorted(path.parent.iterdir()) == files(path), "nothing else is left"
    assert suffix in ALONE or files(path)


@pytest.mark.parametrize("names", [COCO_KEYPOINTS, VNECT_KEYPOINTS, ()], ids=["17", "21", "none"])
def test_other_keypoints(path: Path, suffix: str, names: tuple[str, ...]) -> None:
    """What other networks give: COCO's 17, VNect's 21, boxes and masks alone."""
    sink = make(path)
    people = [
        recordings.person(i, pose=names == VNECT_KEYPOINTS, joints=len(names), landmarks=bool(names))
        for i in range(3)
    ]
    unseen = recordings.person(3, mask=False, landmarks=False)
    found = [recordings.result(i, *people, unseen, keypoints=names) for i in range(2)]
    sink.open(replace(header(), keypoints=names))
    write(sink, found)
    sink.close(recordings.end())
    check(path, suffix, found)
    if suffix == ".jsonl":
        read = results.read(path)
        assert read.header.keypoints == names
        assert all(result.keypoints == names for result in read)


def test_no_frame_at_all(path: Path, suffix: str) -> None:
    sink = make(path)
    sink.open(header())
    if suffix in VIDEOS:
        with pytest.raises(OutputFailed, match="no frame came"):
            sink.close(recordings.end())
        assert not path.exists()
    else:
        sink.close(recordings.end())
        check(path, suffix, [])


@pytest.mark.parametrize("end", [None, recordings.end(failed="detect: no memory")])
def test_a_run_that_failed_before_the_first_frame(path: Path, suffix: str, end: End | None) -> None:
    sink = make(path)
    sink.open(header())
    sink.close(end)
    assert bool(files(path)) != (suffix in VIDEOS or suffix in ALONE)


def test_closing_twice_and_without_opening(path: Path, suffix: str) -> None:
    make(path).close(None)
    assert not path.exists()
    sink = make(path)
    sink.open(header())
    write(sink, recordings.four_results(pose=True))
    sink.close(None)
    before = content(path)
    sink.close(recordings.end())
    assert before and content(path) == before
    check(path, suffix, recordings.four_results(pose=True))


def content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (path.iterdir() if path.is_dir() else files(path))}


def test_a_run_that_fails_in_the_middle(path: Path, suffix: str) -> None:
    sink = make(path)
    sink.open(header())
    write(sink, recordings.four_results(pose=True)[:2])
    sink.close(recordings.end(failed="detect: no memory"))
    check(path, suffix, recordings.four_results(pose=True)[:2])


def test_writing_before_opening(path: Path, suffix: str) -> None:
    result = recordings.four_results(pose=True)[1]
    with pytest.raises(OutputFailed):
        make(path).write(picture(result), result)


def test_unwritable_when_it_begins(path: Path, suffix: str) -> None:
    sink = make(path)
    if suffix == FOLDER:  # between the check and the start
        path.touch()
    else:
        (part(path) if suffix in ALONE else path).mkdir()
    with pytest.raises(OutputFailed, match="cannot write") as caught:
        sink.open(header())
        write(sink, recordings.four_results(pose=True))
        sink.close(None)
    assert one_line(caught.value, path)
    with suppress(OutputFailed):
        sink.close(None)


def one_line(error: BaseException, path: Path) -> bool:
    return "\n" not in str(error) and str(path) in str(error)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes; a write beyond fails with an OSError, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk(path: Path, suffix: str) -> None:
    # A folder's pictures are files of their own: the third one, with people in it, is too large.
    size = {FOLDER: 300, ".glb": 200_000, ".rrd": 400_000}.get(
        suffix, 400_000 if suffix in VIDEOS else 20_000
    )
    found = [recordings.result(i, *(recordings.person(j, pose=True) for j in range(4))) for i in range(300)]
    if suffix == FOLDER:
        found[:2] = recordings.result(0), recordings.result(1)
    sink = make(path)
    sink.open(header())
    with full_disk(size):
        with pytest.raises(OutputFailed, match="cannot write") as caught:
            write(sink, found)
        assert one_line(caught.value, path)
        with suppress(OutputFailed):
            sink.close(recordings.end(failed=str(caught.value)))
    if suffix in (".npz", ".glb", ".parquet"):
        assert not list(path.parent.iterdir()), "half of one is no use to anybody"
        return
    if suffix == ".bvh":
        assert 0 < len(read_bvh(files(path)[0]).places["Hips"]) < len(found)
        return
    assert 0 < READERS[suffix][1](path) < expected(suffix, found)
    assert suffix in (FOLDER, *ALONE) or path.stat().st_size > size / 2


KILLED = """
import os, signal, sys
from tests.contract import test_sinks
from tests import recordings
from tests.readers import Glb, read_bvh, read_trc
sink = test_sinks.make(sys.argv[1])
sink.open(test_sinks.header())
for index in range(200):
    test_sinks.write(sink, [recordings.result(index, recordings.person(0, pose=True))])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_kill_9(path: Path, suffix: str) -> None:
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], env=environment(), timeout=60, check=False
    )
    assert process.returncode == -9
    if suffix in {".npz", ".parquet", *MOTION}:
        assert not files(path)
        return
    found = READERS[suffix][1](path)
    # A video may lack what the encoder still held, and the fragment of 2 s that was not finished.
    assert 60 <= found <= 200 if suffix in VIDEOS else found == 200


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


class TestChoosing:
    def test_by_the_longest_suffix_and_in_any_case(self, tmp_path: Path) -> None:
        names = ["a.jsonl", "a.CSV", "a.npz", "a.coco.json", "a.b.trace.json", "a.iuv", "b.iuv/"]
        names += ["a.MP4", "a.mkv", "-", "a.BVH", "a.c3d", "a.glb", "a.trc", "a.parquet"]
        sinks = open_sinks([name if name == "-" else f"{tmp_path}/{name}" for name in names], tell=print)
        assert [type(sink).__name__ for sink in sinks] == [
            f"{kind}Sink"
            for kind in (
                *("Jsonl", "Csv", "Npz", "Coco", "Trace", "Iuv", "Iuv"),
                *("Overlay", "Overlay", "Jsonl", "Pose", "Pose", "Pose", "Pose", "Parquet"),
            )
        ]
        assert [sink.needs_image for sink in sinks] == [False] * 7 + [True] * 2 + [False] * 6
        assert not list(tmp_path.iterdir()), "nothing is begun before the run is"

    @pytest.mark.parametrize("name", ["a.avi", "a.json", "a", "jsonl", ""])
    def test_unknown_suffix(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(UnknownSuffix) as caught:
            open_sinks([str(tmp_path / name)], tell=print)
        assert all(suffix in str(caught.value) for suffix in WRITERS)

    def test_existing_output(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text("precious")
        with pytest.raises(OutputExists, match="--overwrite"):
            make(path)
        assert path.read_text() == "precious"
        sink = make(path, overwrite=True)
        assert path.read_text() == "precious", "not before the run begins"
        sink.open(header())
        sink.close(None)
        assert csv_rows(path) == 0

    def test_all_are_checked_before_any_is_made(self, tmp_path: Path) -> None:
        with pytest.raises(UnknownSuffix):
            open_sinks([str(tmp_path / "a.jsonl"), str(tmp_path / "a.xyz")], tell=print)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("how", ["itself", "symlink", "hard link", "other spelling"])
    def test_the_input_is_never_written_over(self, tmp_path: Path, how: str) -> None:
        source, output = tmp_path / "a.mp4", tmp_path / "b.mp4"
        source.write_bytes(b"video")
        if how == "symlink":
            output.symlink_to(source)
        elif how == "hard link":
            output.hardlink_to(source)
        else:
            output = source if how == "itself" else tmp_path / "." / ".." / tmp_path.name / "a.mp4"
        with pytest.raises(OutputExists, match="never written over"):
            make(output, overwrite=True, inputs=[source])
        assert source.read_bytes() == b"video"

    @pytest.mark.parametrize("second", ["a.csv", "./a.csv", "link/a.csv"])
    def test_two_outputs_the_same(self, tmp_path: Path, second: str) -> None:
        (tmp_path / "link").symlink_to(tmp_path)
        with pytest.raises(UsageError, match="two outputs"):
            open_sinks([str(tmp_path / "a.csv"), f"{tmp_path}/{second}"], tell=print)
        with pytest.raises(UsageError, match="two outputs"):
            open_sinks(["-", "-"], tell=print)

    def test_folders(self, tmp_path: Path) -> None:
        (tmp_path / "folder.csv").mkdir()
        (tmp_path / "file").touch()
        for name, says in [
            ("folder.csv", "is a folder"),
            ("no/a.csv", "no folder"),
            ("file/a.csv", "no folder"),
        ]:
            with pytest.raises(OutputFailed, match=says) as caught:
                make(tmp_path / name, overwrite=True)
            assert "\n" not in str(caught.value)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_no_permission(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(OutputFailed, match="no permission"):
            make(tmp_path / "a.csv")
        tmp_path.chmod(0o700)


class TestPeople:
    """A file a person: what is refused, replaced, and taken away."""

    def run(self, path: Path, *ids: int, **options: object) -> list[str]:
        sink = make(path, **options)
        sink.open(header())
        write(sink, [recordings.result(0, *(recordings.person(i - 1, pose=True) for i in ids))])
        sink.close(recordings.end())
        return [file.name for file in files(path)]

    def test_those_of_an_earlier_run_are_refused_then_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "walk.bvh"
        assert self.run(path, 1, 3, 12) == ["walk.1.bvh", "walk.12.bvh", "walk.3.bvh"]
        with pytest.raises(OutputExists, match=r"walk\.1\.bvh and 2 more exist.*--overwrite"):
            make(path)
        (tmp_path / "walk.final.bvh").touch()
        (tmp_path / "walk.3.trc").touch()
        assert self.run(path, 2, 3, overwrite=True) == ["walk.2.bvh", "walk.3.bvh", "walk.final.bvh"]
        assert (tmp_path / "walk.3.trc").exists()

    def test_those_of_an_earlier_run_stay_where_the_new_one_cannot_be_written(self, tmp_path: Path) -> None:
        path = tmp_path / "walk.bvh"
        self.run(path, 1)
        before = content(path)
        (tmp_path / "walk.1.bvh.new").touch()
        with pytest.raises(OutputFailed, match=r"cannot write .*walk\.bvh"):
            self.run(path, 1, overwrite=True)
        assert content(path) == before

    def test_twelve_of_them(self, tmp_path: Path) -> None:
        assert len(self.run(tmp_path / "walk.trc", *range(1, 13))) == 12
        self.run(tmp_path / "walk.glb", *range(1, 13))
        assert Glb(tmp_path / "walk.glb").people == list(range(1, 13))

    def test_nobody_is_told(self, tmp_path: Path) -> None:
        said: list[str] = []
        (sink,) = open_sinks([str(tmp_path / "walk.bvh")], tell=said.append)
        sink.open(header())
        write(sink, [recordings.result(0), recordings.result(1, recordings.person(0, landmarks=False))])
        sink.close(recordings.end())
        assert "nobody had a pose" in said[0]
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("suffix", sorted(MOTION))
    def test_results_without_poses(self, tmp_path: Path, suffix: str) -> None:
        sink = make(tmp_path / f"a{suffix}")
        with pytest.raises(UsageError, match="--pose3d") as caught:
            sink.open(replace(recordings.header(), extra={}))
        assert one_line(caught.value, tmp_path / f"a{suffix}")
        sink.close(None)
        assert not list(tmp_path.iterdir())

    def test_without_the_extra(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
        with pytest.raises(OutputFailed, match=r"bodystream\[parquet\]") as caught:
            make(tmp_path / "a.parquet")
        assert one_line(caught.value, tmp_path / "a.parquet")

    def test_a_platform_without_ezc3d(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(OutputFailed, match="ezc3d is not installed") as caught:
            make(tmp_path / "a.c3d")
        assert one_line(caught.value, tmp_path / "a.c3d")


class TestFolder:
    """`.iuv`: what an existing folder holds is safe."""

    def run(self, path: Path, count: int, **options: object) -> None:
        sink = make(path, **options)
        sink.open(header())
        write(sink, [recordings.result(i, recordings.person(0, pose=True)) for i in range(count)])
        sink.close(recordings.end())

    def test_an_existing_one_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "a.iuv"
        path.mkdir()
        with pytest.raises(OutputExists, match="--overwrite"):
            make(path)

    def test_an_earlier_run_is_replaced_and_nothing_else(self, tmp_path: Path) -> None:
        path = tmp_path / "a.iuv"
        self.run(path, 5)
        foreign = {name: name.encode() for name in ("notes.txt", "cover.png", "000004.jpg")}
        for name, data in foreign.items():
            (path / name).write_bytes(data)
        (path / "more.png").mkdir()
        part = path / "000007.png.part"  # of a run that was killed
        part.write_bytes((path / "000000.png").read_bytes()[:-9])
        self.run(path, 2, overwrite=True)
        names = {"000000.png", "000001.png", "more.png"} | foreign.keys()
        assert {entry.name for entry in path.iterdir()} == names
        assert all((path / name).read_bytes() == data for name, data in foreign.items())

    def test_a_foreign_picture_of_the_same_name_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "a.iuv"
        path.mkdir()
        (path / "000001.png").write_bytes(b"precious")
        with pytest.raises(OutputFailed, match="not of this run"):
            self.run(path, 3, overwrite=True)
        assert (path / "000001.png").read_bytes() == b"precious"
        assert (path / "000000.png").exists()

    def test_pictures_have_the_names_of_the_source_s(self, tmp_path: Path) -> None:
        sink = make(tmp_path / "a.iuv")
        sink.open(header())
        write(sink, [recordings.result(0, file="b 7.jpg"), recordings.result(1, file="../c.png")])
        with pytest.raises(OutputFailed, match="two pictures have this name"):
            write(sink, [recordings.result(2, file="c.jpg")])
        assert {entry.name for entry in (tmp_path / "a.iuv").iterdir()} == {"b 7.png", "c.png"}

    def test_a_file_of_that_name(self, tmp_path: Path) -> None:
        (tmp_path / "a.iuv").write_bytes(b"precious")
        with pytest.raises(OutputFailed, match="a folder is to be made"):
            make(tmp_path / "a.iuv", overwrite=True)

    def test_results_without_a_dense_stage(self, tmp_path: Path) -> None:
        sink = make(tmp_path / "a.iuv")
        with pytest.raises(UsageError, match="--dense") as caught:
            sink.open(replace(recordings.header(), extra={}))
        assert one_line(caught.value, tmp_path / "a.iuv")
        sink.close(None)
        assert not list(tmp_path.iterdir())


def test_json_lines_on_standard_output(capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    (sink,) = open_sinks(["-"], tell=print)
    sink.open(header())
    write(sink, recordings.four_results(pose=True))
    sink.close(recordings.end())
    sink.close(None)
    path = tmp_path / "a.jsonl"
    path.write_bytes(capfdbinary.readouterr().out)
    check(path, ".jsonl", recordings.four_results(pose=True))
    assert results.read(path).end == recordings.end()


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    pipe = tmp_path / "a.jsonl"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    sink = make(pipe, overwrite=True)
    sink.open(header())
    os.close(reader)
    with pytest.raises(OutputFailed, match="has ended"):
        write(sink, recordings.four_results(pose=True))
    with suppress(OutputFailed):
        sink.close(replace(recordings.end(), failed="pipe"))
