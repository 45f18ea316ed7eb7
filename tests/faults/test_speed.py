"""The verdict on speed, and memory that does not grow."""

import json
import resource
from pathlib import Path

import pytest

from bodystream.results import read
from tests.faults.conftest import Command

SOAK = 10_000


@pytest.mark.weights
def test_strict_fps(command: Command) -> None:
    words = ["run", "test:size=64x48,rate=25,frames=5", "--json", "--quiet", "--strict-fps", "--target-fps"]
    fast, slow = command(*words, "0.01"), command(*words, "1000000")
    assert (fast.code, json.loads(fast.out)["met"]) == (0, True)
    assert (slow.code, json.loads(slow.out)["met"]) == (4, False)


@pytest.mark.weights
def test_config_file_and_flags_that_win(command: Command, tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text(f'max-frames = 3\noutput = ["{tmp_path}/a.jsonl"]\n')
    words = ["run", "test:size=64x48,rate=25,frames=9", "--config", config]
    assert command(*words).code == 0
    assert len(list(read(tmp_path / "a.jsonl"))) == 3
    assert command(*words, "--max-frames", "4", "--overwrite").code == 0
    assert len(list(read(tmp_path / "a.jsonl"))) == 4


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
@pytest.mark.parametrize("frames", [2_000, pytest.param(SOAK, marks=pytest.mark.slow)])
def test_memory_stays_flat(tmp_path: Path, frames: int) -> None:
    """The whole runner with real sinks and stages; the networks are stand-ins, so that it takes seconds."""
    import time

    from bodystream.pipeline.chain import Chain
    from bodystream.pipeline.runner import Run, Wiring
    from bodystream.pipeline.sinks import open_sinks
    from bodystream.pipeline.source import open_source
    from bodystream.pipeline.stages.detect import Detect
    from bodystream.pipeline.stages.segment import Segment
    from bodystream.pipeline.stages.track import Track
    from bodystream.pipeline.types import Header
    from tests.unit.test_stages import Detector, Net, person

    source = open_source(f"test:size=320x180,rate=25,frames={frames}")
    stages = [Detect(Detector(person(100, 90, 80), person(200, 90, 80))), Segment(Net()), Track(None)]
    chain = Chain(stages, time.monotonic_ns)
    outputs = [str(tmp_path / name) for name in ("out.jsonl", "out.trace.json", "out.csv")]
    header = Header(source.info, (), {}, tuple(str(i) for i in range(33)))
    run = Run(header, source, chain, open_sinks(outputs, tell=print), Wiring(time.monotonic_ns))
    seen: list[int] = []
    end = run(lambda result: seen.append(resident_bytes()) if result.index % (frames // 10) == 0 else None)
    assert end.frames == frames
    assert end.people_mean == 2
    early, late = seen[1], seen[-1]
    with (tmp_path / "rss.txt").open("w") as file:
        file.write(f"{early / 2**20:.1f} MiB after {frames // 10} frames, {late / 2**20:.1f} after {frames}")
    assert late - early < 8 * 2**20, (tmp_path / "rss.txt").read_text()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
