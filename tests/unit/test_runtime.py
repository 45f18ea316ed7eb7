import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bodystream.errors import DeviceUnavailable, ModelError, UsageError
from bodystream.models.runtime import CPU, CUDA, KEY_PREFIX, Input, Session, available_cores, open_session

METADATA = {
    "name": "toy",
    "stage": "detect",
    "sha256": "ab" * 32,
    "precision": "fp32",
    "licence": "Apache-2.0",
}


def save_toy(path: Path, batch: int | str = "batch", metadata: dict[str, str] = METADATA) -> Path:
    """uint8 (batch, 2) in; float32 twice the input (batch, 2), then its sums (batch, 1), out."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["picture"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["floats", "floats"], ["twice"]),
            helper.make_node("ReduceSum", ["floats", "last"], ["sums"]),
        ],
        "toy",
        [helper.make_tensor_value_info("picture", TensorProto.UINT8, [batch, 2])],
        [
            helper.make_tensor_value_info("twice", TensorProto.FLOAT, [batch, 2]),
            helper.make_tensor_value_info("sums", TensorProto.FLOAT, [batch, 1]),
        ],
        [helper.make_tensor("last", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {KEY_PREFIX + key: value for key, value in metadata.items()})
    onnx.save(model, path)
    return path


def save_pair(path: Path) -> Path:
    """float32 a (2, 2) and int64 b (2,) in; float32 sum (2, 2) and int64 same (2,) out."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["b"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["a", "floats"], ["sum"]),
            helper.make_node("Identity", ["b"], ["same"]),
        ],
        "pair",
        [
            helper.make_tensor_value_info("a", TensorProto.FLOAT, [2, 2]),
            helper.make_tensor_value_info("b", TensorProto.INT64, [2]),
        ],
        [
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, [2, 2]),
            helper.make_tensor_value_info("same", TensorProto.INT64, [2]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {KEY_PREFIX + key: value for key, value in METADATA.items()})
    onnx.save(model, path)
    return path


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return save_toy(tmp_path / "toy.onnx")


def cuda_runs(path: Path) -> bool:
    return open_session(path).provider == CUDA


def test_a_session_gives_the_outputs_in_order_and_says_what_it_is(toy: Path):
    session = open_session(toy, device="cpu")
    twice, sums = session(np.array([[1, 2], [3, 4], [5, 6]], np.uint8))
    assert twice.tolist() == [[2, 4], [6, 8], [10, 12]]
    assert sums.tolist() == [[3], [7], [11]]
    assert session.outputs == ("twice", "sums")
    assert session.metadata["licence"] == "Apache-2.0"
    assert session.info() == {
        "stage": "detect",
        "name": "toy",
        "sha256": "ab" * 32,
        "provider": CPU,
        "precision": "fp32",
        "input": ["batch", 2],
    }


@pytest.mark.parametrize("people", [0, 1, 3, 4, 7])
def test_a_fixed_batch_takes_any_number(tmp_path: Path, people: int):
    session = open_session(save_toy(tmp_path / "three.onnx", batch=3), device="cpu")
    pictures = np.arange(2 * people, dtype=np.uint8).reshape(people, 2)
    twice, sums = session(pictures)
    assert session.input == (3, 2)
    np.testing.assert_array_equal(twice, pictures * 2)
    np.testing.assert_array_equal(sums, pictures.sum(axis=1, keepdims=True))


def test_values_go_from_one_run_into_the_next(tmp_path: Path):
    session = open_session(save_pair(tmp_path / "pair.onnx"), device="cpu")
    assert session.inputs == {"a": Input((2, 2), np.dtype("float32")), "b": Input((2,), np.dtype("int64"))}
    turned = np.array([[1, 3], [2, 4]], np.float32).T  # in no order that ONNX Runtime reads
    first = session.run({"b": np.array([10, 20]), "a": turned})
    assert list(first) == ["sum", "same"]
    assert first["sum"].shape == (2, 2)
    second = session.run({"a": first["sum"], "b": first["same"]})
    assert first["sum"].numpy().tolist() == [[11, 22], [13, 24]]  # not written over
    assert second["sum"].numpy().tolist() == [[21, 42], [23, 44]]
    assert second["sum"].numpy().dtype == np.float32


def test_other_inputs_than_the_file_has(tmp_path: Path):
    session = open_session(save_pair(tmp_path / "pair.onnx"), device="cpu")
    with pytest.raises(ValueError, match="toy takes a, b; given: a"):
        session.run({"a": np.zeros((2, 2), np.float32)})


def test_warming_fills_every_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[dict[str, np.ndarray]] = []
    monkeypatch.setattr(Session, "run", lambda self, feeds: seen.append(feeds) or {})
    open_session(save_pair(tmp_path / "pair.onnx"), device="cpu").warm()
    [feeds] = seen
    assert {name: (each.shape, each.dtype.name) for name, each in feeds.items()} == {
        "a": ((2, 2), "float32"),
        "b": ((2,), "int64"),
    }


def test_warming_runs_the_stated_batches(toy: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[tuple[tuple[int, ...], np.dtype]] = []
    monkeypatch.setattr(Session, "_run", lambda self, batch: seen.append((batch.shape, batch.dtype)) or ())
    open_session(toy, device="cpu").warm([1, 4])
    assert seen == [((1, 2), np.uint8), ((4, 2), np.uint8)]


def test_threads_and_spinning_reach_the_session(toy: Path):
    def settings(**kwargs: int | bool) -> tuple[int, str]:
        options = open_session(toy, device="cpu", **kwargs)._inference.get_session_options()
        key = "session.intra_op.allow_spinning"
        return options.intra_op_num_threads, options.get_session_config_entry(key)

    assert settings() == (available_cores(), "0")
    assert settings(threads=3, spin=True) == (3, "1")
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_missing_file(tmp_path: Path):
    with pytest.raises(ModelError, match=r"gone\.onnx: no such ONNX file.*bodystream export"):
        open_session(tmp_path / "gone.onnx")


@pytest.mark.parametrize("device", ["cpu", "auto", "cuda"])
@pytest.mark.parametrize("cut", [0, 10, 200])
def test_a_damaged_file_is_told_of_on_every_device(toy: Path, cut: int, device: str):
    toy.write_bytes(toy.read_bytes()[:cut] or b"hello")
    with pytest.raises(ModelError) as error:
        open_session(toy, device=device)
    assert not isinstance(error.value, DeviceUnavailable)
    assert str(toy) in one_line(error)
    assert "bodystream export" in one_line(error)


def test_a_file_of_other_make_is_refused(tmp_path: Path):
    path = save_toy(tmp_path / "foreign.onnx", metadata={"name": "toy", "stage": "detect"})
    with pytest.raises(ModelError, match="not made by bodystream: metadata lacks sha256, precision"):
        open_session(path)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_an_unknown_device(toy: Path, device: str):
    with pytest.raises(UsageError, match="expected auto, cpu, cuda or cuda:N"):
        open_session(toy, device=device)


def test_auto_takes_the_cpu_and_says_so(toy: Path, capfd: pytest.CaptureFixture[str]):
    session = open_session(toy)
    if session.provider == CUDA:
        pytest.skip("CUDA runs here")
    assert session.provider == CPU
    assert session.note.startswith("on the CPU: CUDA does not run here (")
    assert open_session(toy, device="cpu").note == ""
    assert capfd.readouterr() == ("", "")  # onnxruntime's own red lines stay out of the user's sight


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_without_cuda_is_an_error_in_one_line(toy: Path, device: str, capfd: pytest.CaptureFixture[str]):
    if cuda_runs(toy):
        pytest.skip("CUDA runs here")
    with pytest.raises(
        DeviceUnavailable, match=f"--device {device}: CUDA does not run here: .+bodystream"
    ) as error:
        open_session(toy, device=device)
    assert "no reason was given" not in one_line(error)
    assert capfd.readouterr() == ("", "")


@pytest.mark.gpu
def test_cuda_really_runs(toy: Path):
    session = open_session(toy, device="cuda:0")
    assert (session.provider, session.note) == (CUDA, "")
    assert session(np.array([[1, 2]], np.uint8))[0].tolist() == [[2, 4]]
    with pytest.raises(DeviceUnavailable, match="--device cuda:99"):
        open_session(toy, device="cuda:99")


@pytest.mark.gpu
def test_values_stay_on_the_gpu(tmp_path: Path):
    session = open_session(save_pair(tmp_path / "pair.onnx"), device="cuda:0")
    first = session.run({"a": np.ones((2, 2), np.float32), "b": np.array([10, 20])})
    assert first["sum"]._held.device_name() == "cuda"
    assert session.run({"a": first["sum"], "b": first["same"]})["sum"].numpy().tolist() == [[21, 41]] * 2
