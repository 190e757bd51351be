"""The store's clock, followed without asking."""

from __future__ import annotations

import pytest

from aiosched.instants import SECOND
from aiosched.stores.redis.timing import Timekeeper, instant_of

NOW = 1_790_000_000_000_000


def test_an_answer_of_time() -> None:
    assert instant_of([b"1790000000", b"000042"]) == NOW + 42


def test_the_shortest_round_trip_counts() -> None:
    keeper = Timekeeper()
    keeper.sample(10.0, 10.8, NOW)  # wrong by up to 0.4 s
    keeper.sample(11.0, 11.0002, NOW + SECOND)
    keeper.sample(12.0, 12.6, NOW + 2 * SECOND)
    assert abs(keeper.estimate(11.0) - (NOW + SECOND)) <= 100
    assert abs(keeper.estimate(21.0) - (NOW + 11 * SECOND)) <= 100


def test_an_old_sample_is_let_go() -> None:
    keeper = Timekeeper()
    keeper.sample(10.0, 10.0, NOW)
    # An hour later, with a clock that drifted by 1 ms and a slow round trip.
    keeper.sample(3610.0, 3610.2, NOW + 3600 * SECOND + 101_000)
    assert abs(keeper.estimate(3610.1) - (NOW + 3600 * SECOND + 101_000)) <= 1


@pytest.mark.parametrize("step", [-3600, -1, 1, 3600])
def test_a_clock_that_is_set_is_followed(step: int) -> None:
    keeper = Timekeeper()
    for number in range(5):
        at = 10.0 + number
        keeper.sample(at, at + 0.0001, NOW + number * SECOND)
    keeper.sample(15.0, 15.4, NOW + (5 + step) * SECOND)
    assert abs(keeper.estimate(15.2) - (NOW + (5 + step) * SECOND)) <= 1


def test_memory_is_bounded() -> None:
    keeper = Timekeeper()
    for number in range(1_000):
        keeper.sample(number / 1000, number / 1000, NOW + number * 1000)
    assert len(keeper._samples) <= 16
