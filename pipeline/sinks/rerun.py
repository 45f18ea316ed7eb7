"""A run in the viewer Rerun, live or as a recording: `--view`, `.rrd`. Needs the extra `viewer`."""

import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bodystream.errors import OutputFailed, SinkError, UsageError
from bodystream.models.body.data import load
from bodystream.models.body.kinematics import JOINT_PARENTS, skeleton_of
from bodystream.models.body.mesh import normals, own_segments, own_surface
from bodystream.models.body.skin import blend, weighted
from bodystream.models.keypoints import layout_of
from bodystream.pipeline import iuv
from bodystream.pipeline.draw import colour_of
from bodystream.pipeline.ground import up_of, world_axes
from bodystream.pipeline.sinks.output import Pieces
from bodystream.pipeline.types import End, Floats, Frame, Header, Image, Person, Pose3d, Result, Span

MEDIA_TIME = "media time"
IMAGE, PEOPLE, LATENCY = "camera/image", "people", "latency"
WAITING = "waiting"  # not among the plotted: seconds of it would flatten the milliseconds of work
VIEWER = (
    "127.0.0.1",
    9876,
)  # Rerun's own port, on this machine only: its own way to open it listens on all addresses
VIEWER_PATIENCE_NS = 20_000_000_000
POLL_S = 0.1
JPEG_QUALITY = (
    80  # of the pictures that are shown: a tenth of the bytes, and no difference at the size of a view
)
SURE = 0.5  # landmarks less certain are not drawn
MASK_OPACITY, SURFACE_OPACITY = 0.35, 0.8
BONE_M, JOINT_M = 0.012, 0.02  # radii of what is drawn in space
PLANE_M = 1.0  # how far before the camera its picture hangs in space
HEADER = 12  # bytes at the beginning of Rerun's streams: "RRF2", the version, options
MS = 1e-6  # of a nanosecond


class RerunSink:
    """Shows video, silhouettes, body surface, skeletons in the picture and in space, bodies if `mesh`, and latencies.

    All are on one time line, media time. Space is that of motion files (`pipeline.ground`) with the camera at the
    origin. `path` None opens the viewer; else the recording grows there frame by frame, and what `kill -9` leaves can
    be opened. Raises OutputFailed where Rerun is not installed, SinkError where there is no display.
    """

    needs_image = True

    def __init__(
        self,
        path: Path | None,
        *,
        mesh: bool = False,
        clock: Callable[[], int] = time.monotonic_ns,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        name = "--view" if path is None else f"cannot write {path}"
        try:
            import rerun
        except ImportError as error:
            raise OutputFailed(f"{name}: Rerun is not installed; pip install 'bodystream[viewer]'") from error
        if (
            path is None
            and sys.platform == "linux"
            and not {"DISPLAY", "WAYLAND_DISPLAY"} & environment.keys()
        ):
            raise SinkError(
                "cannot open the viewer: neither DISPLAY nor WAYLAND_DISPLAY is set; write a recording with -o "
                "run.rrd and open it elsewhere"
            )
        self._rr: Any = rerun
        self._path, self._mesh, self._clock = path, mesh, clock
        self._file = None if path is None else Pieces(path)
        self._recording: Any = None
        self._first = True  # nothing has been written
        self._bytes: Any = None  # what the recording has encoded and the file has not
        self._shown: set[str] = set()  # people's entities in the last frame
        self._bodies: dict[str, tuple[Floats, Floats]] = {}  # bones, and the surface that was made for them

    def open(self, header: Header) -> None:
        """Begin the recording, or open the viewer."""
        rr = self._rr
        if self._file is not None:
            self._file.open()
        self._recording = rr.RecordingStream("bodystream")
        self._recording.send_recording_name(header.source.name)
        if self._file is not None:
            self._bytes = self._recording.binary_stream()
        else:
            _open_viewer(self._clock)
            self._recording.connect_grpc(f"rerun+http://{VIEWER[0]}:{VIEWER[1]}/proxy")
        self._recording.send_blueprint(_views(rr.blueprint, space="camera" in header.extra))
        self._fixed("/", rr.ViewCoordinates.RIGHT_HAND_Y_UP)
        labels = [rr.AnnotationInfo(id=i, color=_rgb(i), label=f"person {i}") for i in range(1, 256)]
        self._fixed("/", rr.AnnotationContext([rr.AnnotationInfo(id=0, color=(0, 0, 0, 0)), *labels]))
        camera = header.extra.get("camera")
        if camera is not None:
            self._fixed("camera", rr.Transform3D(mat3x3=world_axes(up_of(header))))
            self._fixed(
                IMAGE,
                rr.Pinhole(
                    focal_length=camera["focal_px"],
                    principal_point=camera["center"],
                    resolution=[header.source.width, header.source.height],
                    camera_xyz=rr.ViewCoordinates.RDF,
                    image_plane_distance=PLANE_M,
                ),
            )
        self._axes = np.eye(3) if camera is None else world_axes(up_of(header))
        self._flush()

    def write(self, frame: Frame | None, result: Result) -> Sequence[Span]:
        """Show a frame."""
        if self._recording is None:
            raise OutputFailed(f"cannot write {self._path}: it is not open")
        if frame is None:
            raise UsageError(f"{self._path} shows pictures, and there are none")
        start = self._clock()
        self._recording.set_time(MEDIA_TIME, duration=float(result.pts))
        self._recording.set_time("frame", sequence=result.index)
        self._show_picture(frame.image, result)
        for person in result.people:
            self._show_flat(person, result)
            if person.pose3d is not None:
                self._show_in_space(person.id, person.pose3d)
        self._take_away(
            {f"{IMAGE}/{PEOPLE}/{person.id}" for person in result.people}
            | {f"{PEOPLE}/{person.id}" for person in result.people if person.pose3d is not None}
        )
        for span in result.spans:
            root = WAITING if span.stage in ("wait", "end to end") else LATENCY
            self._log(f"{root}/{span.stage.replace(' ', '_')}", self._rr.Scalars(span.host_ns * MS))
        for event in result.events:
            self._log("events", self._rr.TextLog(event))
        self._flush()
        return (Span("write rerun", result.index, start, 0, self._clock() - start),)

    def close(self, end: End | None) -> None:  # noqa: ARG002 - asked for by Sink
        """Write what is still held."""
        recording, self._recording = self._recording, None
        if recording is None:
            return
        try:
            self._flush()
            recording.disconnect()
        finally:
            if self._file is not None:
                self._file.close()

    def _take_away(self, shown: set[str]) -> None:
        """Clear what is no longer shown: the viewer keeps what it was told last."""
        for entity in self._shown - shown:
            self._log(entity, self._rr.Clear(recursive=True))
            self._bodies.pop(entity, None)
        self._shown = shown

    def _log(self, path: str, *what: Any) -> None:
        self._recording.log(path, *what)

    def _fixed(self, path: str, what: Any) -> None:
        self._recording.log(path, what, static=True)

    def _flush(self) -> None:
        if self._file is not None and self._bytes is not None:
            encoded = self._bytes.read() or b""
            self._file.write(one_stream(encoded, first=self._first))
            self._first = self._first and not encoded

    def _show_picture(self, image: Image, result: Result) -> None:
        rr = self._rr
        self._log(IMAGE, rr.EncodedImage(contents=_jpeg(image), media_type="image/jpeg"))
        labels = np.zeros(image.shape[:2], np.uint8)
        for person, silhouette in zip(result.people, result.silhouettes, strict=True):
            if silhouette is not None:
                h, w = silhouette.inside.shape
                place = labels[silhouette.y : silhouette.y + h, silhouette.x : silhouette.x + w]
                place[silhouette.inside] = _label(person.id)
        if labels.any():
            self._log(f"{IMAGE}/masks", rr.SegmentationImage(labels, opacity=MASK_OPACITY))
        else:
            self._log(f"{IMAGE}/masks", rr.Clear(recursive=False))
        if any(person.dense is not None for person in result.people):
            png = _transparent(iuv.picture(result))
            picture = rr.EncodedImage(contents=png, media_type="image/png", opacity=SURFACE_OPACITY)
            self._log(f"{IMAGE}/surface", picture)
        else:
            self._log(f"{IMAGE}/surface", rr.Clear(recursive=False))

    def _show_flat(self, person: Person, result: Result) -> None:
        """Box and skeleton in the picture."""
        rr, root, colour = self._rr, f"{IMAGE}/{PEOPLE}/{person.id}", _rgb(person.id)
        corner, far = person.box[:2], person.box[2:]
        label = [f"{person.id}  {person.score:.2f}"]
        self._log(
            f"{root}/box", rr.Boxes2D(mins=[corner], sizes=[far - corner], colors=[colour], labels=label)
        )
        if person.landmarks is not None:
            edges = layout_of(result.keypoints).edges
            places, sure = person.landmarks[:, :2], person.landmarks[:, 2] >= SURE
            strips = [places[[a, b]] for a, b, _ in edges if sure[a] and sure[b]]
            radius = max(1.0, max(result.size) / 600)
            self._log(f"{root}/bones", rr.LineStrips2D(strips, colors=[colour], radii=radius))
            self._log(f"{root}/landmarks", rr.Points2D(places[sure], colors=[(255, 255, 255)], radii=radius))

    def _show_in_space(self, number: int, pose: Pose3d) -> None:
        rr, root, colour = self._rr, f"{PEOPLE}/{number}", _rgb(number)
        places = pose.joints[:, :3] @ self._axes.T
        bones = [places[[joint, parent]] for joint, parent in enumerate(JOINT_PARENTS) if parent >= 0]
        self._log(f"{root}/bones", rr.LineStrips3D(bones, colors=[colour], radii=BONE_M))
        self._log(f"{root}/joints", rr.Points3D(places, colors=[(255, 255, 255)], radii=JOINT_M))
        if self._mesh:
            vertices = self._body(root, number, pose) @ self._axes.T.astype(np.float32)
            self._log(
                f"{root}/body",
                rr.Mesh3D.from_fields(vertex_positions=vertices, vertex_normals=normals(vertices)),
            )

    def _body(self, root: str, number: int, pose: Pose3d) -> Floats:
        """The posed surface (V, 3); the surface at rest is made once for a person's bones."""
        skeleton = skeleton_of(pose.lengths)
        bones, surface = self._bodies.get(root, (None, None))
        if bones is None or surface is None or np.abs(bones - pose.lengths).max() > 0.002:
            surface = weighted(own_surface(skeleton))
            model = load()
            triangles = model.chart_vertex[model.triangles].astype(np.uint32)
            fixed = self._rr.Mesh3D.from_fields(triangle_indices=triangles, albedo_factor=_rgb(number))
            self._log(f"{root}/body", fixed)
            bones = pose.lengths
        self._bodies[root] = (bones, surface)
        return blend(surface, own_segments(skeleton, pose.turns, pose.root))


def _open_viewer(clock: Callable[[], int]) -> None:
    """Start the viewer, unless one runs, and wait until it listens. Raises SinkError where it does not begin to."""
    if _listens():
        return
    host, port = VIEWER
    words = [sys.executable, "-m", "rerun", "--bind", host, "--port", str(port), "--hide-welcome-screen"]
    viewer = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    given_up_ns = clock() + VIEWER_PATIENCE_NS
    while not _listens():
        if viewer.poll() is not None or clock() > given_up_ns:
            raise SinkError(
                "cannot open the viewer: it does not start here; try `python -m rerun`, which says why"
            )
        time.sleep(POLL_S)


def _listens() -> bool:
    try:
        socket.create_connection(VIEWER, timeout=1).close()
    except OSError:
        return False
    return True


def one_stream(encoded: bytes, *, first: bool) -> bytes:
    """What is to be appended to a recording of what Rerun has encoded.

    It gives a whole stream each time: a header, messages (kind and length, two 64-bit numbers, then that many bytes),
    a message of kind 0 with a table of contents, which is optional, and more about that. Of these streams together a
    reader wants the first header and all messages. Rerun's own writer of files cannot be used: it waits for ever where
    the disk is full.
    """
    pieces, at = [encoded[:HEADER]] if first else [], HEADER
    while at < len(encoded):
        kind, length = struct.unpack_from("<QQ", encoded, at)
        if kind == 0:
            break
        pieces.append(encoded[at : at + 16 + length])
        at += 16 + length
    return b"".join(pieces)


def _views(blueprint: Any, *, space: bool) -> Any:
    """The picture beside space and latencies."""
    picture = blueprint.Spatial2DView(origin=IMAGE, name="picture")
    latency = blueprint.TimeSeriesView(origin=LATENCY, name="latency, ms")
    if not space:
        return blueprint.Blueprint(blueprint.Vertical(picture, latency, row_shares=[3, 1]))
    scene = blueprint.Spatial3DView(origin="/", name="space")
    views = blueprint.Horizontal(picture, scene)
    return blueprint.Blueprint(blueprint.Vertical(views, latency, row_shares=[3, 1]))


def _label(number: int) -> int:
    """An id as a class, 1..255."""
    return (number - 1) % 255 + 1


def _rgb(number: int) -> tuple[int, int, int]:
    blue, green, red = colour_of(number)
    return red, green, blue


def _jpeg(image: Image) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def _transparent(image: Image) -> bytes:
    """A PNG of the body surface, red the part, green 255 U, blue 255 V; pixels of nobody are clear.

    By OpenCV's own settings, as in `pipeline.iuv`: a stronger compression takes ten times as long.
    """
    blue, green, red = cv2.split(image)
    alpha = cv2.threshold(red, 0, 255, cv2.THRESH_BINARY)[1]
    return cv2.imencode(".png", cv2.merge([blue, green, red, alpha]))[1].tobytes()
