"""`bodystream doctor`: each check on a machine that the test makes up, and the whole on this one."""

import json
from collections import namedtuple
from types import SimpleNamespace

import pytest

from bodystream.cli import doctor, main
from bodystream.cli.doctor import Check
from bodystream.errors import ModelError, SourceNotFound, SourceUnreadable
from bodystream.export.meta import metadata, origin_of
from bodystream.export.to_onnx import to_onnx
from bodystream.models import store
from bodystream.models.zoo import find
from tests.unit.test_export import toy

HEALTHY = {
    "numpy": ["numpy"],
    "cv2": ["opencv-python"],
    "av": ["av"],
    "onnxruntime": ["onnxruntime-gpu"],
    "torch": ["torch"],
}


def statuses(checks):
    return {check.what: check.status for check in checks}


def test_python_has_to_be_one_of_those_declared():
    assert doctor.python((3, 14, 2)) == Check("ok", "python", "3.14.2")
    assert doctor.python((3, 10, 9)).status == "fail"
    assert doctor.python((3, 15, 0)).status == "fail"


def test_a_needed_package_that_is_absent_or_broken_fails_with_its_mend(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.2")

    def load(module):
        if module in ("cv2", "av"):
            raise ImportError("libGL.so.1: cannot open shared object file")

    checks = {
        check.what: check for check in doctor.packages({k: v for k, v in HEALTHY.items() if k != "av"}, load)
    }
    assert checks["numpy"] == Check("ok", "numpy", "1.2 (numpy)")
    assert checks["cv2"].status == "fail"
    assert "libGL.so.1" in checks["cv2"].found
    assert checks["cv2"].mend.endswith("opencv-python")
    assert checks["av"] == Check("fail", "av", "not installed", "pip install --force-reinstall av")
    assert checks["torch"].status == "ok"


def test_torch_alone_may_be_absent(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.2")
    found = statuses(doctor.packages({k: v for k, v in HEALTHY.items() if k != "torch"}, lambda module: None))
    assert found.pop("torch") == "warn"
    assert set(found.values()) == {"ok"}


def test_two_packages_with_the_same_files_are_told():
    owners = HEALTHY | {
        "cv2": ["opencv-python", "opencv-contrib-python"],
        "onnxruntime": ["onnxruntime-gpu", "onnxruntime", "onnxruntime"],
    }
    opencv, onnxruntime = doctor.clashes(owners)
    assert opencv.found == "opencv-contrib-python and opencv-python both bring cv2/"
    assert opencv.mend.endswith("then pip install opencv-python")
    assert onnxruntime.status == "warn"
    assert list(doctor.clashes(HEALTHY | {"cv2": ["opencv-python", "opencv-python"]})) == []


def test_networks_run_on_the_cpu_here():
    cpu, cuda = doctor.providers()
    assert cpu == Check("ok", "cpu", "CPUExecutionProvider")
    assert (cuda.what, cuda.status in ("ok", "warn")) == ("cuda", True)


def test_a_provider_that_does_not_load_is_told(monkeypatch):
    from bodystream.models import runtime

    class OnTheCpu:
        note = "on the CPU: CUDA does not run here (libcublasLt.so.13: cannot open)"

        def __call__(self, batch):
            return (batch,)

    def open_session(path, device):
        if device == "cpu":
            raise ModelError("not an ONNX file that runs here")
        return OnTheCpu()

    monkeypatch.setattr(runtime, "open_session", open_session)
    cpu, cuda = doctor.providers()
    assert (cpu.status, cuda.status) == ("fail", "warn")
    assert "libcublasLt" in cuda.found
    assert "bodystream[cuda]" in cuda.mend


def test_codecs_encode_here():
    assert statuses(doctor.codecs()) == {"libx264": "ok", "aac": "ok"}


def test_a_codec_that_is_not_there_fails(monkeypatch):
    import av

    def without(name, mode):
        raise av.codec.codec.UnknownCodecError(name)

    monkeypatch.setattr(av.VideoCodecContext, "create", without, raising=True)
    assert statuses(doctor.codecs()) == {"libx264": "fail", "aac": "ok"}


@pytest.mark.parametrize("plugged", [0, 1])
def test_cameras_are_opened_and_told(monkeypatch, plugged):
    from bodystream.pipeline.source import camera

    closed = []

    def open_camera(number, asked, want, clock):
        if number < plugged:
            info = SimpleNamespace(notes=(f"camera {number} opened as MJPG 1280×720 at 30 fps",))
            return SimpleNamespace(info=info, close=lambda: closed.append(number))
        if number == 3 and plugged:
            raise SourceUnreadable("camera 3 opened but gives no picture.")
        raise SourceNotFound(f"camera {number} cannot be opened")

    monkeypatch.setattr(camera, "open_camera", open_camera)
    assert statuses(doctor.cameras()) == (
        {"camera 0": "ok", "camera 3": "warn"} if plugged else {"camera": "warn"}
    )
    assert closed == list(range(plugged))


def test_the_cache_has_to_be_writable_and_roomy(monkeypatch, tmp_path):
    monkeypatch.setenv("BODYSTREAM_CACHE", str(tmp_path / "new"))
    (check,) = doctor.cache()
    assert check.status == "ok"
    assert str(tmp_path / "new") in check.found
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: usage(5_000_000))
    (check,) = doctor.cache()
    assert (check.status, check.found.endswith("5 MB free")) == ("warn", True)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BODYSTREAM_CACHE", str(tmp_path / "file" / "below"))
    (check,) = doctor.cache()
    assert check.status == "fail"
    assert "BODYSTREAM_CACHE" in check.mend


def test_weights_are_warned_of_when_absent_and_fail_when_damaged(monkeypatch, tmp_path):
    monkeypatch.setenv("BODYSTREAM_CACHE", str(tmp_path))
    shipped = {"lift-s": "ok", "dense-s": "ok"}
    found = statuses(doctor.weights())
    assert shipped.items() <= found.items()
    assert {status for name, status in found.items() if name not in shipped} == {"warn"}
    assert "densepose-r50-fpn-s1x" not in found  # nothing is amiss where what others publish is not there
    entry = find("blazepose-full")
    path = tmp_path / "files" / entry.sha256[:12] / entry.file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    assert store.cached("blazepose-full") == path
    checks = {check.what: check for check in doctor.weights()}
    assert checks["blazepose-full"].status == "fail"
    assert "bodystream models pull blazepose-full" in checks["blazepose-full"].mend
    assert checks["blazepose-lite"].status == "warn"


def test_prepared_networks_are_opened(monkeypatch, tmp_path):
    monkeypatch.setenv("BODYSTREAM_CACHE", str(tmp_path))
    assert set(statuses(doctor.networks()).values()) == {"warn"}
    (tmp_path / "onnx").mkdir()
    to_onnx(
        toy(),
        tmp_path / "onnx" / "picodet-s.0123.onnx",
        metadata("picodet-s", toy().module, origin_of([find("picodet-s")])),
    )
    (tmp_path / "onnx" / "blazepose-full.0123.onnx").write_bytes(b"half a file")
    checks = {check.what: check for check in doctor.networks()}
    assert checks["picodet-s.onnx"].status == "ok"
    assert checks["blazepose-full.onnx"].status == "fail"
    assert "blazepose-full.0123.onnx" in checks["blazepose-full.onnx"].mend
    assert checks["blazepose-lite.onnx"].status == "warn"


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_only_what_a_cpu_run_needs_decides_the_exit_code(monkeypatch, capsys, status, code):
    found = [Check("ok", "python", "3.12"), Check(status, "cache", "[brackets] are kept", "a mend")]
    monkeypatch.setattr(doctor, "examine", lambda: iter(found))
    assert main.run(["doctor"]) == code
    assert capsys.readouterr().out.splitlines() == [
        f"{'ok':4}  {'python':20}  3.12",
        f"{status:4}  {'cache':20}  [brackets] are kept",
        f"{'':28}mend: a mend",
    ]
    assert main.run(["doctor", "--json"]) == code
    assert json.loads(capsys.readouterr().out)[1] == {
        "status": status,
        "what": "cache",
        "found": "[brackets] are kept",
        "mend": "a mend",
    }


def test_a_trial_that_lacks_its_package_is_one_failing_line(monkeypatch):
    def trial():
        yield Check("ok", "first", "")
        raise ImportError("No module named 'av'")

    monkeypatch.setattr(doctor, "TRIALS", {"codecs": trial})
    *_, first, last = doctor.examine()
    assert first.what == "first"
    assert (last.status, last.what) == ("fail", "codecs")
    assert "No module named 'av'" in last.found


def test_the_whole_examination_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("BODYSTREAM_CACHE", str(tmp_path))
    checks = list(doctor.examine())
    failed = [check for check in checks if check.status == "fail"]
    assert failed == []
    assert {
        "python",
        "numpy",
        "cv2",
        "av",
        "onnxruntime",
        "torch",
        "cpu",
        "cuda",
        "libx264",
        "aac",
        "cache",
    } <= set(statuses(checks))
    assert all(check.mend for check in checks if check.status != "ok")
