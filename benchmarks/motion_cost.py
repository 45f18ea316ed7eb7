"""What motion files of a long clip cost: `python benchmarks/motion_cost.py [FRAMES]`.

One person at 30 frames a second, in whose motion there is no gap; time on the clock, memory at its highest.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from bodystream.models.body.data import load
from bodystream.models.body.skeleton import bone_lengths
from bodystream.models.body.skin import landmarks_on
from bodystream.pipeline.clip import ROW, clock_of, floor_of, motion_of
from bodystream.pipeline.ground import world_axes
from bodystream.pipeline.sinks.bvh import write_bvh
from bodystream.pipeline.sinks.c3d import write_c3d
from bodystream.pipeline.sinks.glb import write_glb
from bodystream.pipeline.sinks.trc import write_trc

RATE = Fraction(30)


def main() -> None:
    """Print a line a format."""
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 108_000
    times = np.arange(frames) / float(RATE)
    rows = np.zeros(frames, ROW)
    rows["time"], rows["id"], rows["turns"] = times, 1, [1, 0, 0, 0]
    rows["root"] = np.stack([0.3 * np.sin(times), 0 * times, 4 + 0 * times], axis=1)
    rows["lengths"] = bone_lengths(landmarks_on(load().vertices), np.ones(33, np.float32))
    level, clock = world_axes([0, -1, 0]), clock_of(times, RATE)
    began = time.perf_counter()
    motion = motion_of(rows, clock, level, floor_of(rows, level))
    print(f"{frames} frames: floor and resampling {time.perf_counter() - began:.1f} s")
    writers: dict[str, Callable[[Path], None]] = {
        "trc": lambda path: write_trc(path, motion),
        "c3d": lambda path: write_c3d(path, motion),
        "bvh": lambda path: write_bvh(path, motion),
        "glb": lambda path: write_glb(path, [motion]),
    }
    with tempfile.TemporaryDirectory() as folder:
        for suffix, write in writers.items():
            path = Path(folder) / f"a.{suffix}"
            began = time.perf_counter()
            write(path)
            print(f".{suffix}  {time.perf_counter() - began:.1f} s  {path.stat().st_size / 1e6:.1f} MB")
    print(f"memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
