"""Skinned skeleton animation of everybody: `.glb` (glTF 2.0), written by pygltflib."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pygltflib as gl
from numpy.typing import NDArray

from bodystream import __version__
from bodystream.models.body.data import load
from bodystream.models.body.mesh import normals, own_surface
from bodystream.models.body.skeleton import SEGMENTS
from bodystream.pipeline.bones import BONE_PARENTS, BONES, rest_bones
from bodystream.pipeline.clip import FLIP, Motion
from bodystream.pipeline.draw import colour_of

Floats = NDArray[np.float32]

THICKNESS = (0.15, 0.03)  # of a bone's octahedron: of its length, and at most, m
WAIST = 0.15  # where along the bone it is thickest


def write_glb(path: Path, people: Iterable[Motion], *, mesh: bool = False) -> None:
    """Write one skin, skeleton and mesh a person, in m, y up, and one animation that moves them all.

    The mesh is the person's own body surface if `mesh`, else an octahedron a bone. At rest, and in the bind pose,
    the body faces +z. Where a person is away their skeleton's scale is 0, as glTF 2.0 (3.7.3.2) hides what moves.
    """
    file = _File()
    for motion in people:
        file.add(motion, _body(motion) if mesh else _octahedra(motion))
    file.save(path)


@dataclass(frozen=True, slots=True)
class _Skin:
    """A mesh at rest, files' axes: positions and normals (V, 3), corners of triangles, bones and weights (V, 4)."""

    positions: Floats
    normals: Floats
    triangles: NDArray[np.uint16]
    joints: NDArray[np.uint8]
    weights: Floats


def _body(motion: Motion) -> _Skin:
    model, vertices = load(), own_surface(motion.skeleton)
    weights = model.weights.astype(np.float64)
    weights = np.where(weights > 1e-4, weights, 0)
    weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    weights[:, 0] = 1 - weights[:, 1:].sum(1)  # exactly 1, as validators ask
    joints = np.where(weights > 0, model.segments, 0).astype(np.uint8)
    triangles = model.chart_vertex[model.triangles].astype(np.uint16)
    return _Skin(vertices * FLIP, normals(vertices) * FLIP, triangles, joints, weights)


def _octahedra(motion: Motion) -> _Skin:
    """From every bone to each that hangs on it, and moving with the first."""
    places = rest_bones(motion.skeleton)
    corners, owners = [], []
    for bone, parent in enumerate(BONE_PARENTS):
        if parent >= 0:
            corners.append(_octahedron(places[parent], places[bone]))  # (24, 3)
            owners.append(np.full(24, parent))
    positions = np.concatenate(corners).astype(np.float32)
    a, b, c = (positions[i::3] for i in range(3))
    across = np.cross(b - a, c - a)
    flat = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
    joints, weights = np.zeros((len(positions), 4), np.uint8), np.zeros((len(positions), 4), np.float32)
    joints[:, 0], weights[:, 0] = np.concatenate(owners), 1
    triangles = np.arange(len(positions), dtype=np.uint16).reshape(-1, 3)
    return _Skin(positions, np.repeat(flat, 3, axis=0).astype(np.float32), triangles, joints, weights)


def _octahedron(start: Floats, end: Floats) -> Floats:
    """Corners of its eight triangles, (24, 3), seen from outside against the clock."""
    along = (end - start).astype(np.float64)
    length = float(np.linalg.norm(along))
    along /= max(length, 1e-9)
    other = np.eye(3)[np.abs(along).argmin()]
    first = np.cross(along, other)
    first /= np.linalg.norm(first)
    radius = min(THICKNESS[0] * length, THICKNESS[1])
    ring = [start + WAIST * length * along + radius * side for side in (first, np.cross(along, first))]
    middle = start + WAIST * length * along
    ring = [*ring, *(2 * middle - point for point in ring)]
    faces = []
    for i in range(4):
        faces += [ring[(i + 1) % 4], ring[i], start, ring[i], ring[(i + 1) % 4], end]
    return np.array(faces, np.float32)


@dataclass
class _File:
    """A file under construction: the document, and the bytes that it points into."""

    document: gl.GLTF2 = field(default_factory=lambda: _empty())
    data: bytearray = field(default_factory=bytearray)
    spans: dict[tuple[int, int], int] = field(
        default_factory=dict
    )  # accessors of times, by first and last frame

    def add(self, motion: Motion, skin: _Skin) -> None:
        """Add a person."""
        document, places, first = self.document, rest_bones(motion.skeleton), len(self.document.nodes) + 1
        person = first - 1
        children: dict[int, list[int]] = {bone: [] for bone in range(-1, len(BONES))}
        for bone, parent in enumerate(BONE_PARENTS):
            children[parent].append(first + bone)
        document.nodes.append(gl.Node(name=f"person {motion.id}", children=children[-1]))
        for bone, (name, parent) in enumerate(zip(BONES, BONE_PARENTS, strict=True)):
            offset = places[bone] - (places[parent] if parent >= 0 else 0)
            document.nodes.append(gl.Node(name=name, translation=offset.tolist(), children=children[bone]))
        document.nodes.append(
            gl.Node(name=f"body {motion.id}", mesh=len(document.meshes), skin=len(document.skins))
        )
        document.scenes[0].nodes += [person, len(document.nodes) - 1]
        document.skins.append(
            gl.Skin(
                joints=list(range(first, first + len(BONES))),
                skeleton=first,
                inverseBindMatrices=self._put(_back_to_bones(places)),
            )
        )
        self._add_mesh(motion, skin)
        self._animate(motion, person)

    def _add_mesh(self, motion: Motion, skin: _Skin) -> None:
        blue, green, red = (channel / 255 for channel in colour_of(motion.id))
        colour = [round(_linear(channel), 4) for channel in (red, green, blue)]
        look = gl.PbrMetallicRoughness(
            baseColorFactor=[*colour, 1.0], metallicFactor=0.0, roughnessFactor=0.7
        )
        self.document.materials.append(gl.Material(name=f"person {motion.id}", pbrMetallicRoughness=look))
        attributes = gl.Attributes(
            POSITION=self._put(skin.positions, target=gl.ARRAY_BUFFER, bounds=True),
            NORMAL=self._put(skin.normals, target=gl.ARRAY_BUFFER),
            JOINTS_0=self._put(skin.joints, target=gl.ARRAY_BUFFER),
            WEIGHTS_0=self._put(skin.weights, target=gl.ARRAY_BUFFER),
        )
        corners = self._put(skin.triangles.reshape(-1), target=gl.ELEMENT_ARRAY_BUFFER)
        primitive = gl.Primitive(
            attributes=attributes, indices=corners, material=len(self.document.materials) - 1
        )
        self.document.meshes.append(gl.Mesh(name=f"body {motion.id}", primitives=[primitive]))

    def _animate(self, motion: Motion, person: int) -> None:
        times = (np.arange(motion.clock.count) / float(motion.clock.rate)).astype(np.float32)
        if not self.document.animations:
            clock = {"frame_rate": str(motion.clock.rate), "media_time_s": round(motion.clock.start, 6)}
            self.document.scenes[0].extras = clock  # of the first frame
            self.document.animations.append(gl.Animation(name="motion"))
        # Keys from the first frame that they are seen in to the last: viewers hold these before and after.
        first, last = np.flatnonzero(motion.known)[[0, -1]]
        seen = slice(first, last + 1)
        if (first, last) not in self.spans:
            self.spans[first, last] = self._put(times[seen], bounds=True)
        keys, local = self.spans[first, last], np.roll(motion.local()[seen], -1, axis=-1)  # x y z w
        self._channel(person + 1, "translation", keys, motion.root[seen])
        for segment in range(len(SEGMENTS)):
            self._channel(person + 1 + segment, "rotation", keys, local[:, segment])
        if not motion.known.all():
            changes = np.flatnonzero(np.diff(motion.known, prepend=~motion.known[:1]))
            scale = np.repeat(motion.known[changes, None], 3, axis=1).astype(np.float32)
            self._channel(person, "scale", self._put(times[changes], bounds=True), scale, "STEP")

    def _channel(self, node: int, what: str, times: int, values: Floats, how: str = "LINEAR") -> None:
        animation = self.document.animations[0]
        sampler = gl.AnimationSampler(input=times, output=self._put(values), interpolation=how)
        target = gl.AnimationChannelTarget(node=node, path=what)
        animation.channels.append(gl.AnimationChannel(sampler=len(animation.samplers), target=target))
        animation.samplers.append(sampler)

    def _put(self, values: NDArray[Any], *, target: int | None = None, bounds: bool = False) -> int:
        """Append an array, (n,), (n, 3), (n, 4) or (n, 4, 4) column by column; return its accessor."""
        kind = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}[values.shape[1:]]
        component = {"f4": gl.FLOAT, "u1": gl.UNSIGNED_BYTE, "u2": gl.UNSIGNED_SHORT}[values.dtype.str[1:]]
        self.data += b"\0" * (-len(self.data) % 4)
        view = gl.BufferView(buffer=0, byteOffset=len(self.data), byteLength=values.nbytes, target=target)
        self.data += np.ascontiguousarray(values).tobytes()
        accessor = gl.Accessor(
            bufferView=len(self.document.bufferViews), componentType=component, count=len(values), type=kind
        )
        if bounds:
            low, high = (np.atleast_1d(edge).tolist() for edge in (values.min(0), values.max(0)))
            accessor.min, accessor.max = low, high
        self.document.bufferViews.append(view)
        self.document.accessors.append(accessor)
        return len(self.document.accessors) - 1

    def save(self, path: Path) -> None:
        """Write the file."""
        if not self.data:  # nobody: the library would add an empty buffer, which the format forbids
            path.write_bytes(_bare(self.document))
            return
        self.data += b"\0" * (-len(self.data) % 4)
        self.document.buffers.append(gl.Buffer(byteLength=len(self.data)))
        self.document.set_binary_blob(bytes(self.data))
        self.document.save_binary(str(path))


def _bare(document: gl.GLTF2) -> bytes:
    """A .glb without binary data (glTF 2.0, 4.4): a header, and the JSON, filled up with spaces to whole words."""
    text = document.gltf_to_json(separators=(",", ":"), indent=None).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<4sIIII", b"glTF", 2, 20 + len(text), len(text), 0x4E4F534A) + text


def _empty() -> gl.GLTF2:
    asset = gl.Asset(generator=f"bodystream {__version__}")
    return gl.GLTF2(asset=asset, scene=0, scenes=[gl.Scene(nodes=[])])


def _back_to_bones(places: Floats) -> Floats:
    """Matrices (22, 4, 4), columns first, that take the mesh at rest to each bone's own axes."""
    matrices = np.tile(np.eye(4, dtype=np.float32), (len(places), 1, 1))
    matrices[:, 3, :3] = -places
    return matrices


def _linear(channel: float) -> float:
    """Light of an sRGB value, both 0..1 (IEC 61966-2-1)."""
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
