"""Readers of motion files, written from the formats' definitions alone; nothing here knows the writers."""

import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np


def read_trc(path: Path) -> tuple[dict[str, str], np.ndarray, dict[str, np.ndarray]]:
    """Header values, times (T,), and each marker's places (T, 3) in the file's unit, NaN where blank."""
    lines = path.read_text().split("\n")
    header = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    names = [name for name in lines[3].split("\t")[2:] if name]
    rows = [line.split("\t") for line in lines[5:] if line]
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    table = np.array([[float(cell) if cell else np.nan for cell in row[1:]] for row in rows])
    places = table[:, 1:].reshape(len(rows), len(names), 3)
    return header, table[:, 0], {name: places[:, i] for i, name in enumerate(names)}


@dataclass
class Bvh:
    names: list[str]  # of joints, in order; end sites are called "NAME end"
    frame_time: float
    places: dict[str, np.ndarray]  # (T, 3)


def read_bvh(path: Path) -> Bvh:
    """Joints' places by the rule of the format: each channel is one more factor on the right."""
    words = re.findall(r"\S+", path.read_text())
    assert words[:2] == ["HIERARCHY", "ROOT"]
    at, stack, joints = 1, [], []  # joints: (name, parent, offset, channels)
    while words[at] != "MOTION":
        word = words[at]
        if word in ("ROOT", "JOINT", "End"):
            name = f"{stack[-1]} end" if word == "End" else words[at + 1]
            joints.append([name, stack[-1] if stack else None, None, []])
            at += 2
        elif word == "{":
            stack.append(joints[-1][0])
            at += 1
        elif word == "}":
            stack.pop()
            at += 1
        elif word == "OFFSET":
            joints[-1][2] = np.array(words[at + 1 : at + 4], float)
            at += 4
        else:
            assert word == "CHANNELS"
            count = int(words[at + 1])
            joints[-1][3] = words[at + 2 : at + 2 + count]
            at += 2 + count
    assert words[at + 1] == "Frames:" and words[at + 3 : at + 5] == ["Frame", "Time:"]
    frames, frame_time = int(words[at + 2]), float(words[at + 5])
    values = np.array(words[at + 6 :], float).reshape(frames, -1)
    worlds, column = {None: np.tile(np.eye(4), (frames, 1, 1))}, 0
    for name, parent, offset, channels in joints:
        own = np.tile(np.eye(4), (frames, 1, 1))
        own[:, :3, 3] = offset
        for channel in channels:
            factor = np.tile(np.eye(4), (frames, 1, 1))
            axis = "XYZ".index(channel[0])
            if channel.endswith("position"):
                factor[:, axis, 3] = values[:, column]
            else:
                i, j = (axis + 1) % 3, (axis + 2) % 3
                angle = np.radians(values[:, column])
                factor[:, i, i] = factor[:, j, j] = np.cos(angle)
                factor[:, j, i], factor[:, i, j] = np.sin(angle), -np.sin(angle)
            own, column = own @ factor, column + 1
        worlds[name] = worlds[parent] @ own
    assert column == values.shape[1]
    places = {name: world[:, :3, 3] for name, world in worlds.items() if name}
    return Bvh(list(places), frame_time, places)


class Glb:
    """A .glb, by Khronos' glTF 2.0 specification: the document, its accessors, nodes posed by the animation."""

    TYPES: ClassVar = {"SCALAR": (), "VEC3": (3,), "VEC4": (4,), "MAT4": (4, 4)}
    COMPONENTS: ClassVar = {5121: np.uint8, 5123: np.uint16, 5126: np.float32}

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        magic, version, length = struct.unpack_from("<4sII", data)
        assert (magic, version, length) == (b"glTF", 2, len(data))
        size, kind = struct.unpack_from("<I4s", data, 12)
        assert kind == b"JSON"
        self.json = json.loads(data[20 : 20 + size])
        self.binary = data[20 + size + 8 :]

    def values(self, accessor: int) -> np.ndarray:
        entry = self.json["accessors"][accessor]
        view = self.json["bufferViews"][entry["bufferView"]]
        shape = (entry["count"], *self.TYPES[entry["type"]])
        component = self.COMPONENTS[entry["componentType"]]
        array = np.frombuffer(self.binary, component, int(np.prod(shape)), view.get("byteOffset", 0))
        return array.reshape(shape)

    @property
    def people(self) -> list[int]:
        """The nodes called "person N", by N."""
        return [
            int(node["name"].split()[1]) for node in self.json.get("nodes", ()) if "person" in node["name"]
        ]

    def worlds(self, frame: int) -> list[np.ndarray]:
        """Matrices (4, 4) of all nodes at the animation's frame, by its longest sampler's times."""
        nodes = self.json["nodes"]
        state = [{key: node.get(key) for key in ("translation", "rotation", "scale")} for node in nodes]
        for animation in self.json.get("animations", ()):
            inputs = {sampler["input"] for sampler in animation["samplers"]}
            now = max((self.values(times) for times in inputs), key=len)[frame]
            for channel in animation["channels"]:
                sampler = animation["samplers"][channel["sampler"]]
                times, values = self.values(sampler["input"]), self.values(sampler["output"])
                key = np.searchsorted(times, now + 1e-6) - 1
                state[channel["target"]["node"]][channel["target"]["path"]] = values[max(key, 0)]
        worlds: list[np.ndarray | None] = [None] * len(nodes)

        def visit(number: int, parent: np.ndarray) -> None:
            worlds[number] = parent @ _matrix(**state[number])
            for child in nodes[number].get("children", ()):
                visit(child, worlds[number])

        for root in self.json["scenes"][self.json["scene"]].get("nodes", ()):
            visit(root, np.eye(4))
        return worlds

    def bones(self, person: int, frame: int) -> dict[str, np.ndarray]:
        """Places (3,) of one person's joints by name."""
        worlds, nodes = self.worlds(frame), self.json["nodes"]
        skin = self.json["skins"][self.people.index(person)]
        return {nodes[joint]["name"]: worlds[joint][:3, 3] for joint in skin["joints"]}

    def skinned(self, person: int, frame: int) -> np.ndarray:
        """Vertices (V, 3) of one person's mesh."""
        number = self.people.index(person)
        worlds, skin = self.worlds(frame), self.json["skins"][number]
        primitive = self.json["meshes"][number]["primitives"][0]["attributes"]
        back = self.values(skin["inverseBindMatrices"]).transpose(0, 2, 1)
        palette = np.stack(
            [worlds[joint] @ matrix for joint, matrix in zip(skin["joints"], back, strict=True)]
        )
        points = self.values(primitive["POSITION"])
        points = np.concatenate([points, np.ones((len(points), 1))], axis=1)
        weights, joints = self.values(primitive["WEIGHTS_0"]), self.values(primitive["JOINTS_0"])
        return np.einsum("vk,vkij,vj->vi", weights, palette[joints], points)[:, :3]


def _matrix(translation=None, rotation=None, scale=None) -> np.ndarray:
    matrix = np.eye(4)
    if rotation is not None:
        x, y, z, w = (float(value) for value in rotation)
        matrix[:3, :3] = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    matrix[:3, :3] *= np.ones(3) if scale is None else np.asarray(scale)
    matrix[:3, 3] = np.zeros(3) if translation is None else translation
    return matrix
