"""MediaPipe's own Pose over a clip, timed; runs in an environment of its own (mediapipe==0.10.14, av).

python mediapipe_pose.py CLIP        prints one JSON line: ms a frame, whole loop and `process` alone
"""

import json
import statistics
import sys
import time

import av
import mediapipe

pose = mediapipe.solutions.pose.Pose(model_complexity=1, enable_segmentation=True)
process_ns, found = [], 0
begun_ns = first_done_ns = time.perf_counter_ns()
with av.open(sys.argv[1]) as container:
    container.streams.video[0].thread_type = "AUTO"
    for frame in container.decode(video=0):
        image = frame.to_ndarray(format="rgb24")
        start_ns = time.perf_counter_ns()
        result = pose.process(image)
        process_ns.append(time.perf_counter_ns() - start_ns)
        found += result.pose_landmarks is not None
        if len(process_ns) == 1:
            first_done_ns = (
                time.perf_counter_ns()
            )  # the first frame loads the networks: left out, as bodystream does
loop_ms = (time.perf_counter_ns() - first_done_ns) / 1e6 / (len(process_ns) - 1)
report = {
    "frames": len(process_ns),
    "found": found,
    "loop_ms": loop_ms,
    "process_p50_ms": statistics.median(process_ns[1:]) / 1e6,
    "process_mean_ms": statistics.mean(process_ns[1:]) / 1e6,
}
sys.stdout.write(json.dumps(report) + "\n")
