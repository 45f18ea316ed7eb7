"""bodystream beside MediaPipe's own Pose on the same clip, in the same minutes, by turns.

    python benchmarks/against_mediapipe.py CLIP --mediapipe-python ENV/bin/python [--rounds 5]

Each round runs: MediaPipe (complexity 1, segmentation on), bodystream without output, bodystream writing an
overlay video. What counts are the ratios within a round; the medians over the rounds are printed. Both
sides decode with PyAV; both leave the first frame out. The clip should show one person.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run the rounds and print a line for each, then the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clip")
    parser.add_argument("--mediapipe-python", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    arguments, flags = parser.parse_known_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        video = str(Path(folder) / "overlay.mp4")
        for number in range(arguments.rounds):
            theirs = json_of([arguments.mediapipe_python, str(HERE / "mediapipe_pose.py"), arguments.clip])
            same = ("--dense", "off", *flags)  # what MediaPipe gives as well
            ours = bodystream(arguments.clip, *same)
            writing = bodystream(arguments.clip, "-o", video, "--overwrite", *same)
            row = {
                "mediapipe loop": theirs["loop_ms"],
                "mediapipe process": theirs["process_mean_ms"],
                "bodystream": 1000 / ours["fps"],
                "bodystream + video": 1000 / writing["fps"],
            }
            row["ratio"] = row["bodystream"] / row["mediapipe loop"]
            row["ratio + video"] = row["bodystream + video"] / row["mediapipe loop"]
            rows.append(row)
            sys.stdout.write(f"round {number + 1}  {line(row)}  load {os.getloadavg()[0]:.1f}\n")
            sys.stdout.flush()
    medians = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    sys.stdout.write(f"median   {line(medians)}\n")


def bodystream(clip: str, *flags: str) -> dict[str, float]:
    """Run `bodystream run` and return its summary."""
    return json_of([sys.executable, "-m", "bodystream", "run", clip, "--json", "--quiet", *flags])


def json_of(command: list[str]) -> dict[str, float]:
    """Return the JSON that a command prints in the last line of stdout (MediaPipe's loader is talkative)."""
    finished = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    text = finished.stdout.strip()
    return dict(json.loads(text if text.startswith("{\n") else text.splitlines()[-1]))


def line(row: dict[str, float]) -> str:
    """Write the figures of one row."""
    return "  ".join(f"{key} {value:.2f}{'' if 'ratio' in key else ' ms'}" for key, value in row.items())


if __name__ == "__main__":
    main()
