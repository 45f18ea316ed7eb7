"""The stages of the R-CNN chain round pieces whose answers are known."""

from dataclasses import replace

import numpy as np
import pytest

from bodystream.pipeline.chain import Chain
from bodystream.pipeline.stages.follow import Follow
from bodystream.pipeline.stages.rcnn import Boxes, DenseMaps, Head, Keypoints, Masks, Pyramid, Trunk
from bodystream.pipeline.types import Person, Result
from tests.fakes import Clock, frame
from tests.rcnn import CONVENTIONS

# Frames are 64 × 48; the canvas is twice as large, and one row and one column of 16 px remain.
OF_TWICE = replace(
    CONVENTIONS, height=112, width=144, proposals=6, people=2, person=1, short_side=96, long_side=1000
)


class Array:
    """An output that is fetched from where it is."""

    def __init__(self, array):
        self.array = np.asarray(array)

    def numpy(self):
        return self.array


class Piece:
    """Answers by `work`, and remembers what it was fed."""

    def __init__(self, inputs, work):
        self.inputs, self.work, self.fed = dict.fromkeys(inputs), work, []

    def run(self, feeds):
        assert feeds.keys() == self.inputs.keys()
        self.fed.append(feeds)
        return {name: Array(array) for name, array in self.work(feeds).items()}


def trunk_of(*boxes, logits=None):
    """A trunk whose candidates are boxes of the picture."""

    def work(feeds):
        assert feeds["image"].shape == (1, 112, 144, 3) and feeds["image"].dtype == np.uint8
        assert feeds["size"].tolist() == [96, 128]
        found = 2 * np.array(boxes, np.float32).reshape(-1, 4)
        features = {
            name: np.full((1, 4, 2, 2), float(feeds["image"][0, 0, 0, 0])) for name in ("pyramid", "decoded")
        }
        scores = np.linspace(3, 1, len(found)) if logits is None else np.array(logits)
        return features | {
            "boxes": found,
            "scores": scores.astype(np.float32),
            "levels": np.zeros(len(found), np.int64),
        }

    return Piece(("image", "size"), work)


def box_head(scores, shift=0.0):
    """A box head that leaves proposals where they are, moved by `shift` px of the canvas, for its second class."""

    def work(feeds):
        assert feeds["boxes"].shape == (6, 4) and feeds["size"].tolist() == [96, 128]
        said = np.zeros((6, 3), np.float32)
        said[:, 1] = 0.01
        said[: len(scores), 1] = scores
        said[:, 2] = 0.99  # of another class
        return {"scores": said, "refined": np.repeat(feeds["boxes"][:, None] + np.float32(shift), 3, axis=1)}

    return Piece(("pyramid", "boxes", "size"), work)


def pyramid_seen(*boxes, item=None):
    pyramid = Pyramid(OF_TWICE)
    Trunk(trunk_of(*boxes), pyramid)(item or frame(), [])
    return pyramid


def somebody(*box):
    return Person(np.array(box, np.float32), 0.9, 1)


def test_people_are_found_where_they_are_in_the_picture():
    boxes = [(10, 8, 20, 40), (30, 4, 50, 44), (1, 1, 5, 5), (30, 5, 50, 44)]
    pyramid = pyramid_seen(*boxes)
    head = box_head([0.6, 0.9, 0.3])
    found = Boxes(head, pyramid)(frame(), [somebody(0, 0, 1, 1)])
    assert [p.box.tolist() for p in found] == [list(boxes[1]), list(boxes[0])]  # the last was suppressed
    assert [p.score for p in found] == pytest.approx([0.9, 0.6])
    assert all(p.id == 0 and p.mask is None for p in found)
    np.testing.assert_array_equal(head.fed[0]["boxes"][3:], 0)
    assert len(Boxes(head, pyramid, min_score=0.2)(frame(), [])) == 3
    (best,) = Boxes(head, pyramid, min_score=0.2, max_people=1)(frame(), [])
    assert best.score == pytest.approx(0.9)


def test_boxes_end_at_the_picture_s_edge():
    (found,) = Boxes(box_head([0.9], shift=8), pyramid_seen((40, 20, 64, 48)))(frame(), [])
    assert found.box.tolist() == [44, 24, 64, 48]


def test_nobody_is_found_and_nobody_costs_nothing():
    pyramid = pyramid_seen()
    assert list(Boxes(box_head([]), pyramid)(frame(), [])) == []
    piece = Piece(("pyramid", "boxes"), lambda _feeds: {})
    for stage in (Masks, Keypoints, DenseMaps):
        assert list(stage(Head(piece, pyramid))(frame(), [])) == []
    assert piece.fed == []


def test_a_head_before_the_trunk_is_told_of():
    with pytest.raises(ValueError, match="no frame yet"):
        Masks(Head(Piece((), dict), Pyramid(OF_TWICE)))(frame(), [somebody(0, 0, 4, 4)])


def test_more_people_than_a_head_was_made_for_come_in_lots():
    def work(feeds):
        assert feeds["boxes"].shape == (2, 4)
        return {"masks": np.repeat(feeds["boxes"][:, :1, None] / 255, 28, 1).repeat(28, 2)}

    piece = Piece(("pyramid", "boxes"), work)
    people = [somebody(10 * i, 0, 10 * i + 8, 30) for i in range(5)]
    out = Masks(Head(piece, pyramid_seen()))(frame(), people)
    assert len(piece.fed) == 3
    assert [p.mask.probability[3, 4] for p in out] == [0, 20, 40, 60, 80]  # x0 on the canvas
    np.testing.assert_array_equal(piece.fed[2]["boxes"][1], 0)


NOTCHED = np.full((28, 28), 0.9, np.float32)
NOTCHED[4:9, 10:20] = 0.1
NOTCHED[:, 27] = 0.2


def masked(box):
    """The silhouette, in the whole picture, of somebody in `box` to whom the head gives NOTCHED."""
    piece = Piece(("pyramid", "boxes"), lambda _feeds: {"masks": np.stack([NOTCHED] * 2)})
    people = tuple(Masks(Head(piece, pyramid_seen()))(frame(), [somebody(*box)]))
    return whole(Result(0, 0, (64, 48), people).silhouettes[0])


def whole(silhouette):
    image = np.zeros((48, 64), bool)
    h, w = silhouette.inside.shape
    image[silhouette.y : silhouette.y + h, silhouette.x : silhouette.x + w] = silhouette.inside
    return image


def test_a_mask_lands_on_exactly_its_box_s_pixels():
    expected = np.zeros((48, 64), bool)
    expected[7:35, 20:48] = NOTCHED > 0.5
    np.testing.assert_array_equal(masked((20, 7, 48, 35)), expected)


def test_a_mask_half_as_wide_and_cut_by_the_edge():
    seen = masked((50, -10, 64, 46))  # 14 × 56: columns halved, rows doubled
    expected = np.zeros((56, 14), bool)
    expected[:] = (NOTCHED > 0.5).repeat(2, 0)[:, ::2]
    expected[:, 13] = seen[10:, 63].any()  # half of the last pixel is outside
    assert (seen[:46, 50:] != expected[10:]).sum() <= 2  # where four pixels of the map meet
    assert not seen[:, :50].any()


def test_of_two_masks_of_one_body_the_surer_stays_and_a_child_before_an_adult_too():
    whole_body = np.full((28, 28), 0.9, np.float32)
    holed = whole_body.copy()
    holed[14:, 7:21] = 0.1  # where the child stands
    adult, child = somebody(10, 4, 50, 44), replace(somebody(20, 24, 40, 44), score=0.8)

    def found(mask):
        piece = Piece(("pyramid", "boxes"), lambda _feeds: {"masks": np.stack([mask, whole_body])})
        return Masks(Head(piece, pyramid_seen()))(frame(), [adult, child])

    assert [p.score for p in found(holed)] == [0.9, 0.8]
    assert [p.score for p in found(whole_body)] == [0.9]
    apart = [somebody(0, 0, 20, 40), somebody(30, 0, 50, 40)]
    piece = Piece(("pyramid", "boxes"), lambda _feeds: {"masks": np.stack([whole_body] * 2)})
    assert len(Masks(Head(piece, pyramid_seen()))(frame(), apart)) == 2


def iuv_of(part):
    """What a dense head says: U to the right and V down over the whole box, whatever the part."""
    v, u = (np.mgrid[:112, :112].astype(np.float32) + 0.5) / 112
    confidence = np.full((112, 112), 200, np.uint8)
    return {
        "part": np.stack([part] * 2),
        "uv": np.stack([np.stack([u, v])] * 2),
        "confidence": np.stack([confidence] * 2),
    }


def test_a_dense_map_lands_on_exactly_its_box_s_pixels_and_is_a_mask_where_there_is_none():
    part = np.zeros((112, 112), np.uint8)
    part[16:64, 16:96] = 2
    part[64:96, 32:80] = 10
    piece = Piece(("decoded", "boxes"), lambda _feeds: iuv_of(part))
    stage = DenseMaps(Head(piece, pyramid_seen()))
    assert {"dense", "mask"} == stage.gives
    item = frame(size=(160, 130))
    (person,) = stage(item, [somebody(30, 10, 142, 122)])
    (iuv,) = Result(0, 0, (160, 130), (person,)).surfaces
    image = np.zeros((130, 160), np.uint8)
    h, w = iuv.part.shape
    image[iuv.y : iuv.y + h, iuv.x : iuv.x + w] = iuv.part
    expected = np.zeros((130, 160), np.uint8)
    expected[10:122, 30:142] = part
    inner = np.ones_like(expected, bool)
    for row, column in ((26, 46), (26, 125), (73, 46), (73, 125), (105, 62), (105, 109), (74, 62), (74, 109)):
        inner[row - 2 : row + 3, column - 2 : column + 3] = False  # corners are rounded by a pixel
    np.testing.assert_array_equal(image[inner], expected[inner])
    # A pixel's U and V are those of its middle: column 100 of the picture is column 70 of the map.
    at = np.array([[60, 100], [90, 80]])
    u, v = (iuv.uv[i][at[:, 0] - iuv.y, at[:, 1] - iuv.x] for i in range(2))
    np.testing.assert_allclose(u, [70.5 / 112, 50.5 / 112], atol=1e-5)
    np.testing.assert_allclose(v, [50.5 / 112, 80.5 / 112], atol=1e-5)
    (own,) = stage(item, [replace(person, mask=person.mask)])
    assert own.mask is person.mask


def test_keypoints_are_where_their_maps_are_highest():
    heat = np.full((2, 17, 56, 56), -5, np.float32)
    rows, columns = np.arange(17) * 3 + 2, 50 - np.arange(17) * 2
    heat[:, np.arange(17), rows, columns] = 12
    piece = Piece(("pyramid", "boxes"), lambda _feeds: {"heatmaps": heat})
    (person,) = Keypoints(Head(piece, pyramid_seen()))(frame(), [somebody(8, 4, 36, 46)])
    assert person.landmarks.shape == (17, 3) and person.landmarks.dtype == np.float32
    x, y, confidence = person.landmarks.T
    np.testing.assert_allclose(x, 8 + 28 * (columns + 0.5) / 56, atol=0.6)
    np.testing.assert_allclose(y, 4 + 42 * (rows + 0.5) / 56, atol=0.8)
    assert (confidence > 0.9).all()


def test_one_look_of_the_trunk_a_frame_serves_all_heads():
    boxes = [(10, 8, 38, 36)]
    trunk, pyramid = trunk_of(*boxes), Pyramid(OF_TWICE)
    masks = Piece(("pyramid", "boxes"), lambda _feeds: {"masks": np.stack([NOTCHED] * 2)})
    dense = Piece(("decoded", "boxes"), lambda _feeds: iuv_of(np.ones((112, 112), np.uint8)))
    chain = Chain(
        [
            Trunk(trunk, pyramid),
            Boxes(box_head([0.9]), pyramid),
            Masks(Head(masks, pyramid)),
            Follow(),
            DenseMaps(Head(dense, pyramid)),
        ],
        Clock(),
    )
    for i in range(3):
        people, spans, _ = chain(frame(i, value=10 * i))
        assert [span.stage for span in spans] == ["trunk", "boxes", "masks", "follow", "dense"]
        (person,) = people
        assert person.id == 1 and person.dense is not None
        assert person.mask.probability.shape == (28, 28)  # the mask head's, not the dense map's
        assert masks.fed[-1]["pyramid"].numpy().max() == dense.fed[-1]["decoded"].numpy().max() == 10 * i
    assert len(trunk.fed) == len(masks.fed) == len(dense.fed) == 3


def test_a_second_checkpoint_takes_the_boxes_that_it_is_given():
    first, second = Pyramid(OF_TWICE), Pyramid(replace(OF_TWICE, people=1))
    own = trunk_of((0, 0, 64, 48))
    heads = Piece(("pyramid", "boxes"), lambda _feeds: {"heatmaps": np.zeros((1, 17, 56, 56), np.float32)})
    chain = Chain(
        [
            Trunk(trunk_of((10, 8, 38, 36)), first),
            Boxes(box_head([0.9]), first),
            Trunk(own, second, name="trunk 2", further=True),
            Keypoints(Head(heads, second)),
        ],
        Clock(),
    )
    people, _, _ = chain(frame())
    assert [p.box.tolist() for p in people] == [[10, 8, 38, 36]]
    np.testing.assert_array_equal(heads.fed[0]["boxes"], [[20, 16, 76, 72]])
    assert len(own.fed) == 1
    nobody = Trunk(own, second, further=True)
    assert list(nobody(frame(), [])) == [] and len(own.fed) == 1
