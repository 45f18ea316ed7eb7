"""PicoDet-S in torch against the original runtime, on a real picture."""

from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from bodystream.export.wrap_detector import INPUT_NAME, OUTPUT_NAMES, TOLERANCE, DetectorForExport, example
from bodystream.models.detector import Detector, Session
from bodystream.models.nets.picodet import PicoDet
from bodystream.models.store import fetch
from bodystream.models.weights.picodet import load_picodet
from tests.parity.record_picodet import PICTURE, RECORD, net_input, run_paddle, sample

pytestmark = pytest.mark.weights

OF_LARGEST = 1e-3  # how far torch may be from the original, as a share of the largest reference value


@pytest.fixture(scope="module")
def net() -> PicoDet:
    return load_picodet(fetch("picodet-s-graph"), fetch("picodet-s"))


@pytest.fixture(scope="module")
def batch() -> NDArray[np.float32]:
    return net_input(_picture())


@pytest.fixture(scope="module")
def session(net: PicoDet, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """onnxruntime on the exported file, of any batch."""
    program = torch.onnx.export(
        DetectorForExport(net),
        (example(2),),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        input_names=[INPUT_NAME],
        output_names=list(OUTPUT_NAMES),
        verbose=False,
    )
    assert program is not None
    path = tmp_path_factory.mktemp("onnx") / "detector.onnx"
    program.save(path)
    runtime = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda batch: tuple(runtime.run(None, {INPUT_NAME: batch}))


def test_agrees_with_the_recorded_original(net: PicoDet, batch: NDArray[np.float32]) -> None:
    with np.load(RECORD) as record:
        _assert_close(sample(_run_torch(net, batch)), dict(record))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Paddle warns of compilers that nobody here needs
def test_agrees_with_the_original_runtime(net: PicoDet) -> None:
    pytest.importorskip("paddle")
    mirrored = net_input(np.ascontiguousarray(_picture()[:, ::-1]))
    expected = run_paddle(fetch("picodet-s-graph"), fetch("picodet-s"), mirrored)
    _assert_close(_run_torch(net, mirrored), expected)


def test_batch_gives_what_single_pictures_give(net: PicoDet, batch: NDArray[np.float32]) -> None:
    mirrored = np.ascontiguousarray(batch[..., ::-1])
    with torch.inference_mode():
        both = net(torch.from_numpy(np.concatenate((batch, mirrored))))
        singles = [net(torch.from_numpy(one)) for one in (batch, mirrored)]
    for together, first, second in zip(both, *singles, strict=True):
        torch.testing.assert_close(together, torch.cat((first, second)), rtol=1e-4, atol=1e-4)


def test_wrapped_for_export_it_gives_the_same(net: PicoDet, batch: NDArray[np.float32]) -> None:
    original = _run_torch(net, batch)
    with torch.inference_mode():
        boxes, scores = DetectorForExport(net)(torch.from_numpy(_picture())[None])
    _assert_close(
        {"boxes": boxes[0].numpy(), "person": scores[0].numpy()},
        {"boxes": original["boxes"], "person": original["scores"][0]},
    )


@pytest.mark.filterwarnings("ignore")  # the exporter's own deprecations
def test_exported_it_gives_the_same(net: PicoDet, session: Session) -> None:
    wrapped = DetectorForExport(net)
    picture = torch.from_numpy(_picture())
    for images in (example(1), torch.stack((picture, picture.flip(1), example(1)[0]))):
        with torch.inference_mode():
            expected = wrapped(images)
        for name, reference, found in zip(OUTPUT_NAMES, expected, session(images.numpy()), strict=True):
            np.testing.assert_allclose(found, reference.numpy(), rtol=0, atol=TOLERANCE[name])


@pytest.mark.filterwarnings("ignore")  # the exporter's own deprecations
def test_exported_it_finds_the_two_people(session: Session) -> None:
    boxes, scores = Detector(session)(np.asarray(_picture()))
    assert (scores > 0.6).all()
    # Read off the picture by eye: the woman at the right, the man up on the left.
    np.testing.assert_allclose(boxes, [[320, 227, 416, 397], [12, 17, 93, 192]], atol=20)


def _picture() -> Any:
    return cv2.imread(str(PICTURE))


def _run_torch(net: PicoDet, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    with torch.inference_mode():
        scores, logits = net(torch.from_numpy(batch))
        boxes = net.boxes(logits)
    return {"scores": scores[0].numpy(), "boxes": boxes[0].numpy(), "logits": logits[0].numpy()}


def _assert_close(found: dict[str, NDArray[np.float32]], expected: dict[str, NDArray[np.float32]]) -> None:
    assert found.keys() == expected.keys()
    for name, reference in expected.items():
        assert found[name].shape == reference.shape
        error = np.abs(found[name] - reference).max() / np.abs(reference).max()
        assert error < OF_LARGEST, f"{name}: {error:.1e} of the largest value"
