"""`bodystream run`: a source through the pipeline into files, a window or the terminal."""

from bodystream.cli import options as o
from bodystream.cli.config import ConfigFile


def run(
    source: o.SourceArgument,
    output: o.Outputs = None,
    overwrite: o.Overwrite = False,
    show: o.Show = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    start: o.Start = None,
    end: o.Finish = None,
    stride: o.Stride = 1,
    max_frames: o.MaxFrames = None,
    size: o.Size = None,
    fps: o.Rate = None,
    fourcc: o.FourCC = None,
    detect: o.DetectNet = "picodet-s",
    segment: o.SegmentNet = "full",
    detect_every: o.DetectEvery = 10,
    max_people: o.MaxPeople = 20,
    min_score: o.MinScore = 0.3,
    smooth: o.Smooth = "mediapipe",
    flip_repair: o.Flips = True,
    device: o.Device = "auto",
    threads: o.Threads = None,
    spin: o.Spin = False,
    offline: o.Offline = False,
    policy: o.PolicyName = "auto",
    queue: o.Queue = 2,
    target_fps: o.TargetFps = None,
    strict_fps: o.StrictFps = False,
    _config: ConfigFile = None,
) -> None:
    """Find the people in a video: masks, landmarks, ids; write what the suffixes of -o ask for.

    Examples:

    bodystream run dance.mp4 -o dance.overlay.mp4 -o dance.jsonl

    bodystream run 0 --show --target-fps 30
    """
    flags = dict(locals())
