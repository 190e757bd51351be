"""The host's clocks: what a suspension does to them, and to ours."""

from __future__ import annotations

import asyncio
import time

import pytest

from aiosched import clock
from aiosched.clock import SystemClock
from aiosched.testing import run_virtual


class Host:
    """A machine with one clock that stands still while it is suspended."""

    def __init__(self, slept: float = 0.0) -> None:
        self.at = 1000.0
        self.slept = slept
        self.gap = 0.0
        """Seconds that pass between two looks of the same measurement."""

    def awake(self) -> float:
        return self.at

    def always(self) -> float:
        found = self.at + self.slept
        self.at += self.gap
        return found


def test_suspensions_are_added_up_from_when_it_was_built() -> None:
    host = Host(slept=86_400.0)
    asleep = clock._Asleep(host.awake, host.always)
    assert asleep.seconds() == 0.0
    host.at += 50.0
    assert asleep.seconds() == 0.0
    host.slept += 3600.0
    assert asleep.seconds() == pytest.approx(3600.0)
    host.at += 50.0
    host.slept += 7.5
    assert asleep.seconds() == pytest.approx(3607.5)


def test_a_look_that_was_interrupted_counts_for_nothing() -> None:
    """Or a process that was stopped between two looks would jump for ever."""
    host = Host()
    asleep = clock._Asleep(host.awake, host.always)
    host.gap = 10.0
    assert asleep.seconds() == 0.0
    host.gap = 0.001
    assert asleep.seconds() == 0.0
    host.slept = 20.0
    assert asleep.seconds() == pytest.approx(20.0)


def test_noise_moves_nothing_and_it_never_goes_back() -> None:
    host = Host()
    asleep = clock._Asleep(host.awake, host.always)
    host.slept = 0.01
    assert asleep.seconds() == 0.0
    host.slept = 20.0
    assert asleep.seconds() == pytest.approx(20.0)
    host.slept = 19.0
    assert asleep.seconds() == pytest.approx(20.0)


def test_where_it_cannot_be_measured_there_is_none() -> None:
    assert clock._Asleep(Host().awake, None).seconds() == 0.0
    host = Host(slept=86_400.0)
    host.gap = 1.0
    asleep = clock._Asleep(host.awake, host.always)
    host.gap = 0.0
    assert asleep.seconds() == 0.0, "what was before is not taken for a suspension"


def test_the_clock_goes_on_over_a_suspension(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host()
    monkeypatch.setattr(clock, "_asleep", clock._Asleep(host.awake, host.always))
    host.slept = 3600.0

    async def ahead() -> float:
        here = asyncio.get_running_loop().time()
        return SystemClock().monotonic() - here

    with asyncio.Runner() as runner:
        assert 3600.0 <= runner.run(ahead()) < 3700.0
    before = time.monotonic()
    assert 3600.0 <= SystemClock().monotonic() - before < 3700.0
    assert run_virtual(ahead) == 0.0, "virtual time is the loop's alone"


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="not on this system")
def test_the_hosts_own_clocks_are_the_right_ones() -> None:
    always = clock._always()
    assert always is not None
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= always() <= time.clock_gettime(time.CLOCK_BOOTTIME)
