"""An R-CNN's pieces in a row, joined by `models.rcnn`, against the network itself in torch."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bodystream.export.check import Finding, furthest, one_thread
from bodystream.export.packed import packed
from bodystream.export.wrap_rcnn import TOLERANCES, References, conventions_of, within
from bodystream.models.boxes import pairwise_iou
from bodystream.models.nets.rcnn.system import Rcnn, with_picture
from bodystream.models.rcnn import Conventions, Shape, detections, padded, proposals, scaled
from bodystream.models.runtime import Session, Value, open_session

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]

# How far people may be from torch's: px, probabilities, and for the maps those of `wrap_rcnn.TOLERANCES`. In half
# precision and in 8 bits other boxes win where scores are near each other: what is found again is told, not judged.
NEAR_PX, NEAR_SCORE = 0.05, 1e-3
SAME_PERSON_IOU = 0.5
SHARED = ("trunk", "box")  # pieces that come before the people are known


@dataclass(frozen=True, slots=True)
class Found:
    """People of a picture, best first: boxes float32 (N, 4), px of the canvas, scores (N,), and what each head says."""

    boxes: NDArray[np.float32]
    scores: Floats
    maps: Arrays


def check_whole(
    paths: Mapping[str, Path],
    net: Rcnn,
    shape: Shape,
    precision: str,
    images: Sequence[Image] = (),
) -> list[Finding]:
    """Compare what the files find with what torch finds, in pictures of two sizes: nobody, one, and D people.

    `images` are uint8 (H, W, 3) BGR; without any, made-up ones. Findings in other precisions than fp32 are good
    wherever there are as many people.
    """
    sessions = {name: open_session(path, device="cpu", threads=1) for name, path in paths.items()}
    conv = replace(
        conventions_of(net, shape), min_score=-1.0
    )  # the best of any weights, however poor they are
    findings = []
    with one_thread(), torch.inference_mode():
        for image in images[:2] or made_up(shape):
            canvas, size, _ = scaled(image, conv)
            eager = _Eager(net, shape, torch.from_numpy(canvas), torch.from_numpy(size))
            everybody = eager.people()
            trunk = sessions["trunk"].run({"image": canvas, "size": size})
            for people in sorted({0, 1, conv.people}):
                # Nobody is surer than 1.
                some = replace(conv, detections=people, min_score=1.0 if people == 0 else conv.min_score)
                found = run_heads(sessions, trunk, size, some)
                maps = eager.maps(padded(found.boxes, conv.people), [n for n in sessions if n not in SHARED])
                what = f"{people} of {image.shape[1]}x{image.shape[0]} px"
                expected = min(people, len(everybody[0]))
                findings.append(_compared(what, found, everybody, maps, expected, precision))
    return findings


def run_heads(
    sessions: Mapping[str, Session], trunk: Mapping[str, Value], size: NDArray[np.float32], conv: Conventions
) -> Found:
    """What the files find, from the trunk's outputs on."""
    boxes, scores, levels = (trunk[name].numpy() for name in ("boxes", "scores", "levels"))
    known = {**trunk, "boxes": proposals(boxes, scores, levels, conv), "size": size}
    said = _told(sessions["box"], known)
    found, sure = detections(said["scores"], said["refined"], conv)
    known["boxes"] = padded(found, conv.people)
    heads = {name: session for name, session in sessions.items() if name not in SHARED}
    maps = {
        f"{name}.{output}": each
        for name, head in heads.items()
        for output, each in _told(head, known).items()
    }
    return Found(found, sure, maps)


def _told(session: Session, known: Mapping[str, Any]) -> Arrays:
    outputs = session.run({name: known[name] for name in session.inputs})
    return {name: value.numpy() for name, value in outputs.items()}


class _Eager:
    """The network in torch on one canvas, by its own methods, with exact suppression; of people, all of them."""

    def __init__(self, net: Rcnn, shape: Shape, canvas: Tensor, size: Tensor) -> None:
        self.net, self.shape, self.size = copy.copy(net), shape, size
        self.net.spec = replace(
            net.spec, proposals=shape.proposals, min_score=-1.0, detections=shape.proposals
        )
        self.pyramid = net.pyramid(net.normalised(canvas) * within(canvas, size))
        self.decoded = net.decoded(self.pyramid) if net.spec.decoder else None

    def people(self) -> tuple[Floats, Floats]:
        """After suppression: boxes (N, 4), scores (N,), best first."""
        net = self.net
        boxes, logits, levels = net.candidates(self.pyramid, self.size)
        best = net.proposals(boxes[0], logits[0], levels)
        scores, refined = net.box_outputs(self.pyramid, with_picture(best, 0))
        person = slice(net.spec.person, net.spec.person + 1)
        found, sure, _ = net.detected(scores[:, person], refined[:, person], self.size)
        return found.numpy(), sure.numpy()

    def maps(self, boxes: Floats, pieces: Sequence[str]) -> Arrays:
        """What the heads say of boxes (D, 4), by piece and output."""
        said: dict[str, NDArray[Any]] = {}
        for piece in pieces:
            dense = piece in ("dense", "cse") and self.decoded is not None
            features = self.decoded if dense else packed(self.pyramid)
            outputs = References(self.net, self.shape, piece)(features, torch.from_numpy(boxes))
            names = TOLERANCES["fp32"][piece]
            said |= {f"{piece}.{name}": each.numpy() for name, each in zip(names, outputs, strict=True)}
        return said


def _compared(
    what: str, found: Found, wanted: tuple[Floats, Floats], maps: Arrays, expected: int, precision: str
) -> Finding:
    """The people that the files found with all of torch's: the nearest of them, since equals may change places."""
    boxes, scores = wanted
    if len(found.boxes) != expected:
        return Finding("whole", what, False, f"{len(found.boxes)} found instead of {expected}")
    if not expected:
        return Finding("whole", what, True, "nobody, and none of the heads objects")
    overlap = pairwise_iou(found.boxes, boxes)  # (N, M)
    match = overlap.argmax(axis=1)  # (N,)
    again = overlap.max(axis=1) > SAME_PERSON_IOU  # (N,)
    px = np.abs(found.boxes - boxes[match]).max(axis=1)[again].max(initial=0)
    score = np.abs(found.scores - scores[match])[again].max(initial=0)
    off = {name: furthest(found.maps[name][:expected], want[:expected]) for name, want in maps.items()}
    near = again.all() and px <= NEAR_PX and score <= NEAR_SCORE
    told = [f"{again.sum()} of {expected} are torch's, boxes {px:.2g} px, scores {score:.2g}"]
    told += [f"{name} {each:.2g}" for name, each in off.items()]
    return Finding("whole", what, bool(near) or precision != "fp32", ", ".join(told))


def made_up(shape: Shape) -> list[Image]:
    """Two pictures to look at: one of the canvas's own shape, one wider, so that the canvas is not filled."""
    generator = np.random.default_rng(0)
    sizes = [(shape.height, shape.width), (shape.height * 3 // 2, shape.width * 2)]
    images = []
    for height, width in sizes:
        blots = generator.integers(0, 256, (9, 12, 3), np.uint8)
        images.append(np.asarray(cv2.resize(blots, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8))
    return images
