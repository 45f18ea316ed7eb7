"""Files of weights, read by their contents; every file is written by the test."""

import io
import os
import pickle
import struct
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bodystream.errors import WeightsCorrupt, WeightsMissing
from bodystream.models.weights import pickles
from bodystream.models.weights.checkpoint import Checkpoint, read
from tests.protobuf import field, varint

A = torch.arange(6, dtype=torch.float32).reshape(2, 3)
B = torch.tensor([7, 8], dtype=torch.int64)
STATE = OrderedDict({"conv.weight": A, "steps": B})


def numpy_state(order: str = "<") -> dict[str, np.ndarray]:
    return {
        name: tensor.numpy().astype(tensor.numpy().dtype.newbyteorder(order))
        for name, tensor in STATE.items()
    }


def check(checkpoint: Checkpoint) -> None:
    assert list(checkpoint.tensors) == list(STATE)
    for name, tensor in STATE.items():
        assert torch.equal(checkpoint.tensors[name], tensor)
        assert checkpoint.tensors[name].dtype == tensor.dtype


def refused(path: Path) -> str:
    with pytest.raises(WeightsCorrupt) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


# -- what is read


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
@pytest.mark.parametrize(
    ("content", "others"),
    [
        (STATE, ()),
        ({"model": STATE, "iteration": 269999, "optimizer": {"state": {}, "param_groups": []}},
         ("iteration: 269999", "optimizer: dict of 2")),
        ({"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in STATE.items()}}, ("epoch: 3",)),
        ({"model": {"params": STATE, "ema": None}}, ("ema: None",)),
    ],
    ids=["bare", "detectron2", "parallel", "twice"],
)  # fmt: skip
def test_torch(tmp_path: Path, zipped: bool, content: object, others: tuple[str, ...]) -> None:
    path = tmp_path / "a file without a suffix"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    checkpoint = read(path)
    check(checkpoint)
    assert checkpoint.format == "torch"
    assert checkpoint.others == others


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("order", ["<", ">"])
def test_detectron2s_pickles(tmp_path: Path, protocol: int, order: str) -> None:
    path = tmp_path / "model_final.pkl"
    content = {"model": numpy_state(order), "__author__": "Detectron2 Model Zoo", "loss": np.float32(0.5)}
    path.write_bytes(pickle.dumps(content, protocol))
    checkpoint = read(path)
    check(checkpoint)
    assert checkpoint.format == "pickle"
    assert checkpoint.others == ("__author__: Detectron2 Model Zoo", "loss: Array")


def test_arrays_of_all_kinds_come_as_they_were(tmp_path: Path) -> None:
    arrays = {
        "fortran": np.asfortranarray(np.arange(6, dtype=np.float16).reshape(2, 3)),
        "double": np.linspace(0, 1, 3),
        "bytes": np.arange(4, dtype=np.uint8),
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 3), np.float32),
        "number": np.array(3.0),
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(arrays))
    read_back = read(tmp_path / "a.pkl").tensors
    for name, array in arrays.items():
        np.testing.assert_array_equal(read_back[name].numpy(), array)
        assert read_back[name].numpy().dtype == array.dtype


def test_a_pickle_of_python_2(tmp_path: Path) -> None:
    """Written by hand: strings of bytes, numpy's old module names, as in Caffe2's R-50.pkl."""
    raw = A.numpy().tobytes()
    dtype = b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02K\x03\x86"
        + dtype
        + b"\x89T"
        + struct.pack("<i", len(raw))
        + raw
        + b"tb"
    )
    path = tmp_path / "R-50.pkl"
    path.write_bytes(b"\x80\x02}U\x05blobs}U\x07conv1_w" + array + b"ss.")
    checkpoint = read(path)
    assert torch.equal(checkpoint.tensors["conv1_w"], A)


def test_safetensors_with_metadata(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    save_file(STATE, path, {"system": "rcnn-s"})
    checkpoint = read(path)
    assert {name: tensor.tolist() for name, tensor in checkpoint.tensors.items()} == {
        name: tensor.tolist() for name, tensor in STATE.items()
    }
    assert (checkpoint.format, checkpoint.metadata) == ("safetensors", {"system": "rcnn-s"})


def test_caffe_of_both_ages(tmp_path: Path) -> None:
    new = field(1, b"VNect") + field(
        100, layer(1, 7, b"conv1", [blob(A.numpy()), blob(np.array([1.5, 2], "f4"))])
    )
    new += field(100, field(1, b"relu") + field(2, b"ReLU"))
    old = field(2, layer(4, 6, b"conv1", [old_blob(A.numpy()), old_blob(np.array([1.5, 2], "f4"))]))
    for content, axes in ((new, 2), (old, 4)):
        (tmp_path / "net").write_bytes(content)
        checkpoint = read(tmp_path / "net")
        assert checkpoint.format == "caffe"
        assert list(checkpoint.tensors) == ["conv1.0", "conv1.1"]
        assert checkpoint.tensors["conv1.0"].ndim == axes
        assert torch.equal(checkpoint.tensors["conv1.0"].reshape(2, 3), A)
        assert checkpoint.tensors["conv1.1"].flatten().tolist() == [1.5, 2]


# -- what is not


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.command = f"touch {witness}"

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("kind", ["zip", "before 1.6", "pickle", "text pickle"])
@pytest.mark.parametrize("nested", [True, False])
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path: Path, kind: str, nested: bool) -> None:
    witness, path = tmp_path / "ran", tmp_path / "model.pth"
    weight = A.numpy() if "pickle" in kind else A
    content = {"model": {"weight": weight}, "extra": Hostile(witness)} if nested else Hostile(witness)
    if "pickle" in kind:
        path.write_bytes(pickle.dumps(content, 0 if kind == "text pickle" else None))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    said = refused(path)
    assert f"{os.name}.system" in said or "nt.system" in said
    assert "nothing of it was run" in said
    assert not witness.exists()
    pickle.loads(pickle.dumps(Hostile(witness)))  # the trap works where nobody looks
    assert witness.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [("builtins", "eval"), ("builtins", "getattr"), ("numpy", "load"), ("torch", "load"), ("os", "system"),
     ("numpy.core.multiarray", "array"), ("collections", "Counter"), ("torch._utils", "_rebuild_tensor_v2")],
)  # fmt: skip
def test_every_other_name_is_refused_by_name(module: str, name: str) -> None:
    with pytest.raises(pickles.Refused, match=f"{module}.{name}"):
        pickles.load_plain(io.BytesIO(f"c{module}\n{name}\n.".encode()))


@pytest.mark.parametrize("descr", ["O", "V8", "S3", "M8[s]", "f4, f4", "x" * 50])
def test_arrays_of_other_things_than_numbers_are_refused(descr: str) -> None:
    program = f"cnumpy\ndtype\n(V{descr}\nI0\nI1\ntR.".encode()
    with pytest.raises(pickles.Refused, match="an array of"):
        pickles.load_plain(io.BytesIO(program))


def test_a_pickle_cannot_change_its_reader() -> None:
    """BUILD sets attributes of whatever lies on the stack: of a stand-in it must not."""
    program = b"cnumpy\ndtype\n(N}S'call'\nI1\nst b.".replace(b" ", b"")
    with pytest.raises(pickles.UNREADABLE):
        pickles.load_plain(io.BytesIO(program))
    assert isinstance(pickles.load_plain(io.BytesIO(pickle.dumps(A.numpy()))), pickles.Array)


def test_sizes_that_do_not_hold_are_told(tmp_path: Path) -> None:
    lying = pickle.dumps({"weight": A.numpy()}, 2).replace(b"K\x02K\x03\x86", b"K\x02K\x04\x86")
    (tmp_path / "a.pkl").write_bytes(lying)
    assert "6 numbers for an array of (2, 4)" in refused(tmp_path / "a.pkl")


def test_a_dict_that_holds_itself_is_no_endless_way(tmp_path: Path) -> None:
    content: dict[str, object] = {}
    content["model"] = content
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    assert "holds no tensors" in refused(tmp_path / "a.pkl")


def written(folder: Path) -> dict[str, Path]:
    """One good file of each kind."""
    files = {kind: folder / f"{kind}.file" for kind in ("torch", "old", "pickle", "safetensors", "caffe")}
    torch.save(STATE, files["torch"])
    torch.save(STATE, files["old"], _use_new_zipfile_serialization=False)
    files["pickle"].write_bytes(pickle.dumps({"model": numpy_state()}))
    save_file(STATE, files["safetensors"])
    files["caffe"].write_bytes(field(1, b"n") + field(100, layer(1, 7, b"conv1", [blob(A.numpy())])))
    return files


@pytest.mark.parametrize("kind", ["torch", "old", "pickle", "safetensors", "caffe"])
def test_a_file_cut_short_is_told_wherever_it_ends(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path)[kind]
    read(path)
    whole = path.read_bytes()
    for size in sorted({*range(0, len(whole), max(1, len(whole) // 25)), len(whole) - 1}):
        path.write_bytes(whole[:size])
        assert "empty" in refused(path) if not size else refused(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n" * 50, "is no checkpoint"),
        (b"# weights\n", "is no checkpoint"),
        (b"<html>log in first</html>", "is no checkpoint"),
        (b"PK\x03\x04 a zip of something else", "not a whole torch file"),
        (bytes(8) + b"{}", "not a whole safetensors file"),
        (b"\x80\x04N.", "holds no tensors"),
        (pickle.dumps([1, 2]), "holds no tensors, only all of it: list of 2"),
        (pickle.dumps({"a": "text", "b": 3}), "holds no tensors, only a: text, b: 3"),
        (b"\x0a\x01n", "holds no tensors"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "not a whole Caffe file"),
    ],
)
def test_other_files_are_told_for_what_they_are(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    assert said in refused(tmp_path / "weights.pth")


def test_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="cannot be read: No such file"):
        read(tmp_path / "nowhere.pth")


@pytest.mark.skipif(sys.platform != "linux", reason="counts the process's pages")
def test_a_torch_file_is_mapped_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "large.pth"
    torch.save({"weight": torch.zeros(20_000_000)}, path)

    def resident_mb() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    before = resident_mb()
    checkpoint = read(path)
    assert checkpoint.tensors["weight"].shape == (20_000_000,)
    assert resident_mb() - before < 40  # of 80 MB


# A protobuf writer in miniature; field numbers from Caffe's caffe.proto.


def layer(name_field: int, blobs_field: int, name: bytes, blobs: list[bytes]) -> bytes:
    return field(name_field, name) + b"".join(field(blobs_field, each) for each in blobs)


def blob(array: np.ndarray) -> bytes:
    return field(5, array.astype("<f4").tobytes()) + field(7, field(1, b"".join(map(varint, array.shape))))


def old_blob(array: np.ndarray) -> bytes:
    """With four sizes, and a tag before every number."""
    shape = (1,) * (4 - array.ndim) + array.shape
    sizes = b"".join(field(axis, size) for axis, size in enumerate(shape, 1))
    return sizes + b"".join(varint(5 << 3 | 5) + struct.pack("<f", number) for number in array.ravel())
