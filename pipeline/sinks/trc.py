"""Marker trajectories for OpenSim and Pose2Sim: `.trc`, one file a person."""

from pathlib import Path

import numpy as np

from bodystream.pipeline.bones import MARKERS, markers
from bodystream.pipeline.clip import Motion


def write_trc(path: Path, motion: Motion) -> None:
    """Write HALPE_26's markers in m, y up, as Pose2Sim does: tabs, five lines of header, blank cells in gaps.

    Layout: OpenSim, Marker (.trc) Files. `Time` is media time, s, so files of one video go together.
    """
    clock, count = motion.clock, len(MARKERS)
    rate = f"{float(clock.rate):.10g}"
    header = [
        f"PathFileType\t4\t(X/Y/Z)\t{path.name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        "\t".join([rate, rate, str(clock.count), str(count), "m", rate, "1", str(clock.count)]),
        "Frame#\tTime\t" + "\t\t\t".join(MARKERS) + "\t\t\t",
        "\t\t" + "\t".join(f"X{i}\tY{i}\tZ{i}" for i in range(1, count + 1)) + "\t",
    ]
    row = "\t%.5f" * (3 * count) + "\n"  # to a hundredth of a millimetre
    blank = "\t" * (3 * count) + "nan\n"  # OpenSim 4.6 does not see a blank cell at the end of a line
    times, frame = clock.times, 0
    with path.open("w", encoding="ascii", newline="") as file:
        file.writelines(line + "\n" for line in header)
        for places in markers(motion):
            for place in places.reshape(len(places), -1):
                cells = blank if np.isnan(place[0]) else row % tuple(place)
                file.write(f"{frame + 1}\t{times[frame]:.6f}{cells}")
                frame += 1
