"""Each real network: its ONNX file against torch, on pictures of a person.

Largest differences when this was written (torch 2.13.0, onnxruntime 1.31.1): boxes 1.8e-3 px, scores 1.3e-4,
landmarks 3.6e-3 px of the crop, presence 9.5e-5, mask 1 level of 255, world 2.8e-5 m.
"""

from itertools import islice

import av
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bodystream.export.check import furthest
from bodystream.export.prepare import NETWORKS, prepare
from bodystream.models.runtime import open_session
from bodystream.models.store import fetch
from bodystream.training.dense.generator import Generator

pytestmark = pytest.mark.weights

Pictures = NDArray[np.uint8]


@pytest.fixture(scope="module")
def frames() -> list[Pictures]:
    """Five frames of the demo clip, uint8 (994, 1768, 3) BGR."""
    with av.open(fetch("sports2d-demo")) as clip:
        return [
            frame.to_ndarray(format="bgr24")
            for number, frame in enumerate(clip.decode(video=0))
            if number % 40 == 0 and number < 200
        ]


def batch_of(frames: list[Pictures], size: int, middle: bool) -> Pictures:
    """Whole frames, or their middle squares, where the person is: uint8 (5, size, size, 3)."""
    height, width = frames[0].shape[:2]
    left = (width - height) // 2 if middle else 0
    return np.stack([cv2.resize(frame[:, left : width - left], (size, size)) for frame in frames]).astype(
        np.uint8
    )


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in ("lift-s", "dense-s")])
def test_the_file_agrees_with_torch_on_real_pictures(name: str, frames: list[Pictures]):
    network = NETWORKS[name]
    built = network.build([fetch(each) for each in network.weights])
    session = open_session(prepare(name), device="cpu")
    pictures = batch_of(frames, next(iter(built.example(0).values())).shape[1], middle=name != "picodet-s")
    for size in (1,) if network.batch else (0, 1, 2, 5):
        with torch.inference_mode():
            wanted = built.module.eval()(torch.from_numpy(pictures[:size]))
        found = session(pictures[:size])
        assert session.outputs == tuple(built.tolerances)
        for (output, allowed), want, have in zip(built.tolerances.items(), wanted, found, strict=True):
            assert (have.shape, have.dtype) == (tuple(want.shape), want.numpy().dtype)
            off = np.abs(have.astype(float) - want.numpy().astype(float)).max(initial=0)
            assert off <= allowed, f"{output} at batch {size}"


def test_dense_s_agrees_with_torch_on_posed_people():
    network = NETWORKS["dense-s"]
    built = network.build([fetch(each) for each in network.weights])
    session = open_session(prepare("dense-s"), device="cpu")
    inputs = np.stack([sample.input() for sample in islice(Generator(None).samples(0), 5)])
    assert built.ties is not None
    for size in (0, 1, 2, 5):
        with torch.inference_mode():
            wanted = built.module.eval()(torch.from_numpy(inputs[:size]))
            ties = built.ties(torch.from_numpy(inputs[:size]))["part"].numpy()
        found = session(inputs[:size])
        assert session.outputs == tuple(built.tolerances)
        for (output, allowed), want, have in zip(built.tolerances.items(), wanted, found, strict=True):
            assert (have.shape, have.dtype) == (tuple(want.shape), want.numpy().dtype)
            assert furthest(have, want.numpy(), ties) <= allowed, f"{output} at batch {size}"
        assert ties.sum() <= 1e-3 * ties.size


@pytest.mark.parametrize("people", [0, 1, 3])
def test_a_frozen_batch_gives_what_the_free_one_gives(frames: list[Pictures], people: int):
    free = open_session(prepare("blazepose-lite"), device="cpu")
    frozen = open_session(prepare("blazepose-lite", batch=2), device="cpu")
    assert frozen.input[0] == 2
    pictures = batch_of(frames, 256, middle=True)[:people]
    for one, other in zip(free(pictures), frozen(pictures), strict=True):
        np.testing.assert_allclose(one.astype(float), other.astype(float), atol=0.02)
