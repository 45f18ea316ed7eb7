import threading

import pytest

from bodystream.pipeline.handoff import Handoff, Pacer, Policy


def in_thread(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_every_item_arrives_in_order_through_a_queue_of_one():
    handoff = Handoff(Policy.EVERY, 1)

    def give():
        for item in range(100):
            assert handoff.put(item)
        handoff.close()

    giver = in_thread(give)
    assert list(handoff) == list(range(100))
    giver.join()
    assert handoff.dropped == 0


def test_latest_keeps_the_newest_and_counts_the_rest():
    handoff = Handoff(Policy.LATEST, 1)
    for item in range(5):
        assert handoff.put(item)
    handoff.close()
    assert list(handoff) == [4]
    assert handoff.dropped == 4


def test_a_giver_that_waits_is_woken_by_close_and_told_to_stop():
    handoff = Handoff(Policy.EVERY, 1)
    handoff.put("fills the queue")
    answers = []
    giver = in_thread(lambda: answers.append(handoff.put("waits")))
    handoff.close()
    giver.join()
    assert answers == [False]
    assert list(handoff) == ["fills the queue"]


def test_a_taker_that_waits_is_woken_by_close():
    handoff = Handoff()
    taken = []
    taker = in_thread(lambda: taken.extend(handoff))
    handoff.close()
    taker.join()
    assert taken == []


def test_a_failure_reaches_the_taker_after_the_items():
    handoff = Handoff()
    handoff.put(1)
    handoff.fail(ValueError("gone"))
    handoff.fail(ValueError("second failures are not heard"))
    items = iter(handoff)
    assert next(items) == 1
    with pytest.raises(ValueError, match="gone"):
        next(items)


def test_pacer_waits_for_the_media_clock_and_not_when_late():
    now = [0]
    waits = []

    def wait(seconds):
        waits.append(round(seconds, 6))
        now[0] += int(seconds * 1e9)
        return False

    pacer = Pacer(lambda: now[0], wait)
    assert pacer.hold(10.0)  # the first item sets the origin, wherever the media clock stands
    assert pacer.hold(10.04)
    now[0] += 100_000_000
    assert pacer.hold(10.08)  # 60 ms late: no wait
    assert waits == [0.04]


def test_pacer_woken_to_stop_says_so():
    pacer = Pacer(lambda: 0, lambda _seconds: True)
    assert pacer.hold(0.0)
    assert not pacer.hold(1.0)
