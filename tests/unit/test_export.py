"""The export's plumbing, on a toy network."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import bodystream
from bodystream.errors import ExportFailed, ModelError, UsageError
from bodystream.export import prepare as preparing
from bodystream.export.check import check
from bodystream.export.meta import metadata, origin_of
from bodystream.export.prepare import NETWORKS, Network, export, prepare
from bodystream.export.to_onnx import Exportable, pictures, to_onnx
from bodystream.models import store
from bodystream.models.runtime import open_session
from bodystream.models.zoo import find

PICTURE = (4, 4, 3)
TOLERANCES = {"colour": 1e-4, "bright": 0.0}


class Toy(nn.Module):
    """uint8 (N, 4, 4, 3) in; colour float32 (N, 3) and bright uint8 (N, 4, 4) out."""

    def __init__(self, gain: float = 2.0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor([gain, 1.0, 1.0]))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        floats = pictures.float()
        return floats.mean(dim=(1, 2)) * self.gain, (floats.mean(dim=3) > 128).to(torch.uint8)


class Branches(nn.Module):
    """Not to be expressed without control flow."""

    def forward(self, pictures: Tensor) -> tuple[Tensor]:
        return (pictures * 2 if pictures.sum() > 0 else pictures,)


def toy(module: nn.Module | None = None, tolerances: Mapping[str, float] = TOLERANCES) -> Exportable:
    return Exportable(module or Toy(), pictures("pictures", *PICTURE), tolerances)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "toy.onnx"
    to_onnx(toy(), path, metadata("toy", Toy(), origin_of([find("picodet-s"), find("picodet-s-graph")])))
    return path


@pytest.fixture
def no_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "fetch", lambda name, **_: tmp_path / name)
    monkeypatch.setenv("BODYSTREAM_CACHE", str(tmp_path / "cache"))


# -- the file


def test_a_free_batch_is_free_and_checked_at_nobody_one_and_many(exported: Path):
    checked = check(exported, toy(), batches=(0, 1, 2, 5))
    findings = checked.findings
    assert [finding.step for finding in findings] == ["graph", "names"] + ["shapes", "values"] * 2 * 4
    assert all(finding.ok for finding in findings)
    assert str(findings[-2]) == "✓ shapes: bright at batch 5: uint8 (5, 4, 4)"
    assert str(findings[-1]) == "✓ values: bright at batch 5: differ by 0, 0 allowed"
    assert isinstance(open_session(exported).input[0], str)
    assert (checked.forbidden, checked.differences["bright"]) == (0, 0)
    assert str(findings[0]) == (
        f"✓ graph: {checked.nodes} nodes: none of If, Loop, Scan, NonZero, NonMaxSuppression"
    )
    assert min(checked.session_ms, checked.torch_ms) > 0


def test_the_file_says_what_it_is_and_nothing_of_the_machine_that_made_it(exported: Path):
    session = open_session(exported)
    entry = find("picodet-s")
    assert (session.name, session.stage, session.sha256) == ("toy", "detect", entry.sha256)
    assert session.metadata["licence"] == "Apache-2.0"
    assert session.metadata["opset"] == "18"
    assert session.metadata["version"] == bodystream.__version__
    assert session.metadata["interface"].startswith("uint8 (N, 4, 4, 3) in; colour float32")
    assert find("picodet-s-graph").sha256 in session.metadata["sources"]
    assert b"stack_trace" not in exported.read_bytes()
    assert b"test_export" not in exported.read_bytes()


def test_a_frozen_batch_is_frozen_and_torch_stays_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    path = tmp_path / "three.onnx"
    to_onnx(toy(), path, metadata("toy", Toy(), origin_of([find("picodet-s")])), batch=3)
    assert open_session(path, device="cpu").input == (3, *PICTURE)
    assert all(finding.ok for finding in check(path, toy(), batches=(3,)).findings)
    assert capfd.readouterr() == ("", "")


def test_a_module_that_onnx_cannot_express(tmp_path: Path):
    with pytest.raises(ExportFailed, match="torch cannot express Branches in ONNX: ") as error:
        to_onnx(toy(Branches(), {"out": 0.0}), tmp_path / "never.onnx", {})
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


class Counts(nn.Module):
    """Takes the number of its pictures for a constant."""

    def forward(self, pictures: Tensor) -> tuple[Tensor]:
        return (torch.ones(1, 1).expand(len(pictures), 1) * pictures.float().mean(),)


def test_a_batch_that_is_not_free_is_noticed(tmp_path: Path):
    with pytest.raises(ExportFailed, match="torch fixes the batch of Counts, which should be free"):
        to_onnx(toy(Counts(), {"out": 0.0}), tmp_path / "never.onnx", {})
    assert list(tmp_path.iterdir()) == []
    to_onnx(toy(Counts(), {"out": 0.0}), tmp_path / "three.onnx", {}, batch=3)


# -- the check


class Two(nn.Module):
    """Two inputs, as a head has."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, features: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        return features * self.gain, boxes + 1


def two(gain: float, growing: tuple[str, ...] = ()) -> Exportable:
    def example(batch: int) -> dict[str, Tensor]:
        return {"features": torch.full((3,), 1000.0), "boxes": torch.full((2, 4), float(batch))}

    outputs = {"larger": 1e-3, "moved": 0.0}
    return Exportable(Two(1), example, outputs, growing, reference=Two(gain), sizes=(0, 1))


def test_several_inputs_a_reference_and_a_tolerance_that_grows(tmp_path: Path):
    path = tmp_path / "two.onnx"
    to_onnx(two(1), path, metadata("two", Two(1), origin_of([find("picodet-s")])), batch=1)
    assert list(open_session(path, device="cpu").inputs) == ["features", "boxes"]
    assert check(path, two(1), (0, 1)).differences == {"larger": 0, "moved": 0}
    with pytest.raises(ExportFailed, match=r"larger at batch 0: differ by 0\.5, 0\.001 allowed"):
        check(path, two(1.0005), (0, 1))
    assert check(path, two(1.0005, growing=("larger",)), (0, 1)).differences["larger"] == pytest.approx(
        0.5, rel=1e-3
    )


class NonZero(Toy):
    """As many answers as the values decide."""

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        colour, bright = super().forward(pictures)
        return colour, bright * len(torch.nonzero(pictures.flatten()))


def test_what_decides_shapes_by_values_is_refused(tmp_path: Path):
    path = tmp_path / "nonzero.onnx"
    to_onnx(toy(NonZero()), path, metadata("toy", NonZero(), origin_of([find("picodet-s")])), batch=2)
    with pytest.raises(ExportFailed, match=r"✗ graph: \d+ nodes: 1 NonZero"):
        check(path, toy(NonZero()), (2,))


class Wide(Toy):
    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        colour, bright = super().forward(pictures)
        return colour[:, :2], bright.float()


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (toy(tolerances={"bright": 0.0, "colour": 1e-4}), ["✗ names: outputs: colour, bright instead of"]),
        (
            toy(Wide()),
            [
                "✗ shapes: colour at batch 2: float32 (2, 3) instead of float32 (2, 2)",
                "✗ shapes: bright at batch 2: uint8 (2, 4, 4) instead of float32 (2, 4, 4)",
            ],
        ),
        (
            toy(Toy(gain=2.1)),
            ["✗ values: colour at batch 1: differ by", "✗ values: colour at batch 2: differ by"],
        ),
        (toy(Toy(gain=float("nan"))), ["✗ values: colour at batch 2: differ by nan, 0.0001 allowed"]),
        (toy(Toy(gain=float("inf"))), ["✗ values: colour at batch 2: differ by inf"]),
    ],
    ids=["names", "shapes and dtypes", "values", "nan", "inf"],
)
def test_every_disagreement_is_told(exported: Path, network: Exportable, told: list[str]):
    with pytest.raises(ExportFailed) as error:
        check(exported, network, batches=(1, 2))
    for part in told:
        assert part in str(error.value)
    assert "✓" not in str(error.value)
    assert "\n" not in str(error.value)


# -- preparing


def test_a_network_is_exported_once(no_downloads: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(NETWORKS, "toy", Network(("picodet-s",), lambda _: toy(), batch=None))
    steps: list[tuple[str, int, int]] = []
    path = prepare("toy", progress=lambda *now: steps.append(now))
    assert steps == [("preparing toy", done, 3) for done in range(4)]
    assert list(store.onnx_dir().iterdir()) == [path]
    monkeypatch.setattr(preparing, "export", None)  # calling it would fail
    assert prepare("toy") == path
    assert open_session(path).name == "toy"


@pytest.mark.parametrize("there", [False, True])
def test_a_failing_check_leaves_no_file(
    tmp_path: Path, no_downloads: None, monkeypatch: pytest.MonkeyPatch, there: bool
):
    wrong = toy(tolerances={"colour": -1.0, "bright": 0.0})
    monkeypatch.setitem(NETWORKS, "toy", Network(("picodet-s",), lambda _: wrong, batch=None))
    target = tmp_path / "onnx" / "toy.onnx"
    if there:
        target.parent.mkdir()
        target.write_text("the user's own")
    with pytest.raises(ExportFailed, match="not kept: ✗ values: colour at batch 0"):
        export("toy", target)
    assert [path.read_text() for path in target.parent.iterdir()] == ["the user's own"] * there


def test_anything_that_went_into_a_file_changes_its_name(monkeypatch: pytest.MonkeyPatch):
    net = NETWORKS["picodet-s"]
    keys = {
        preparing._key(net, None),
        preparing._key(net, 4),
        preparing._key(NETWORKS["blazepose-full"], None),
    }
    monkeypatch.setattr(bodystream, "__version__", "99")
    keys.add(preparing._key(net, None))
    monkeypatch.setattr(preparing, "_code", lambda: b"other code")
    keys.add(preparing._key(net, None))
    assert len(keys) == 5


def test_the_code_that_counts_is_found():
    # Installed, editable or laid out by links: the folders must stand where `_code` looks for them.
    package = Path(preparing.__file__).parent.parent
    for file in ("export/to_onnx.py", "models/nets/blazepose.py", "models/weights/tflite.py"):
        assert (package / file).is_file()


def test_wrong_requests(tmp_path: Path, no_downloads: None):
    with pytest.raises(UsageError, match="no network called 'picodet'; known: picodet-s, blazepose-lite"):
        prepare("picodet")
    with pytest.raises(UsageError, match="a batch of 0: expected 1 or more"):
        export("picodet-s", tmp_path / "x.onnx", batch=0)


def test_a_folder_that_cannot_be_written(tmp_path: Path, no_downloads: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(NETWORKS, "toy", Network(("picodet-s",), lambda _: toy(), batch=None))
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"toy\.onnx cannot be written: .+; name another folder"):
        export("toy", tmp_path / "file" / "toy.onnx")


WARM = """
import sys
from pathlib import Path
from bodystream.export.prepare import prepare

assert prepare("blazepose-full", offline=True).name.startswith("blazepose-full.")
loaded = {"torch", "onnx", "onnxscript", "onnxruntime", "httpx2"} & set(sys.modules)
assert not loaded, loaded
"""


def test_a_warm_cache_needs_neither_torch_nor_weights(tmp_path: Path):
    key = preparing._key(NETWORKS["blazepose-full"], None)
    folder = tmp_path / "onnx"
    folder.mkdir()
    (folder / f"blazepose-full.{key}.onnx").touch()
    environ = os.environ | {"BODYSTREAM_CACHE": str(tmp_path)}
    subprocess.run([sys.executable, "-W", "error", "-c", WARM], env=environ, check=True)
