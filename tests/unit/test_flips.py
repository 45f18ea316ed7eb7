import numpy as np

from bodystream.models.keypoints import KEYPOINTS, SWAP
from bodystream.pipeline.flips import FlipRepair, exchange_world


def body(turn_degrees: float = 0.0, seed: int = 0, jitter: float = 0.01):
    """World landmarks (33, 4) of a standing person: left at +x when turn is 0, arms a little in front."""
    world = np.zeros((33, 4), np.float32)
    for i, name in enumerate(KEYPOINTS):
        side = 1 if "left" in name else -1 if "right" in name else 0
        height = {"shoulder": -0.5, "elbow": -0.25, "wrist": 0.0, "hip": 0.0, "knee": 0.45, "ankle": 0.9}
        level = next((h for part, h in height.items() if part in name), -0.6)
        forward = 0.15 if "elbow" in name else 0.25 if "wrist" in name else 0.0
        world[i] = [side * 0.2, level, -forward, 1]
    angle = np.radians(turn_degrees)
    rotation = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    world[:, :3] = world[:, :3] @ rotation.T
    world[:, :3] += np.random.default_rng(seed).normal(0, jitter, (33, 3))
    return world


def landmarks(world):
    return np.concatenate([100 + 50 * world[:, :2], np.ones((33, 1), np.float32)], axis=1).astype(np.float32)


def repaired(worlds, rate=30):
    repair = FlipRepair()
    return [repair(landmarks(world), world, i / rate) for i, world in enumerate(worlds)]


def test_exchange_is_its_own_inverse_and_keeps_the_left_on_the_left():
    world = body()
    assert np.array_equal(exchange_world(exchange_world(world)), world)
    assert sorted(SWAP.tolist()) == list(range(33))
    for i, j in enumerate(SWAP):
        assert KEYPOINTS[j] == KEYPOINTS[i].replace("left", "RIGHT").replace("right", "left").replace(
            "RIGHT", "right"
        )


def test_a_flipped_frame_is_given_the_labelling_of_its_neighbours():
    truth = [body(seed=i) for i in range(40)]
    seen = [exchange_world(world) if i in (15, 16, 17, 30) else world for i, world in enumerate(truth)]
    for i, (points, world, exchanged) in enumerate(repaired(seen)):
        assert np.allclose(world, truth[i]), i
        assert np.allclose(points, landmarks(truth[i])), i
        assert exchanged == (i in (15, 16, 17, 30))


def leaning(seed):
    """A body that leans towards a camera above it: what is higher is nearer."""
    world = body(seed=seed)
    world[:, 2] += 0.4 * world[:, 1]
    return world


def test_sides_alone_are_exchanged_where_depth_was_right():
    truth = [leaning(i) for i in range(40)]
    seen = [world[SWAP] if i in (15, 16, 17, 30) else world for i, world in enumerate(truth)]
    for i, (points, world, exchanged) in enumerate(repaired(seen)):
        assert np.allclose(world, truth[i]), i
        assert np.allclose(points, landmarks(truth[i])), i
        assert exchanged == (i in (15, 16, 17, 30))


def test_a_clip_that_begins_flipped_is_set_right_by_the_majority():
    truth = [body(seed=i) for i in range(90)]
    seen = [exchange_world(world) if i < 8 else world for i, world in enumerate(truth)]
    out = repaired(seen)
    assert np.allclose(out[-1][1], truth[-1])
    assert sum(not np.allclose(world, truth[i]) for i, (_, world, _) in enumerate(out)) < 20


def test_a_person_who_turns_round_is_left_alone():
    truth = [body(turn_degrees=i * 4, seed=i) for i in range(91)]  # a full turn in three seconds
    for i, (_, world, exchanged) in enumerate(repaired(truth)):
        assert not exchanged, i
        assert np.array_equal(world, truth[i])


def test_narrow_bodies_between_flips_teach_nothing():
    truth = [body(seed=i) for i in range(60)]
    seen = list(truth)
    for i in range(20, 40):
        seen[i] = exchange_world(truth[i]) if i % 4 else body(turn_degrees=80, seed=i)
    for i, (_, world, _) in enumerate(repaired(seen, rate=60)):
        assert i % 4 == 0 or np.allclose(world, truth[i]), i
