"""The last millisecond before an instant: awake, and not for long in all."""

from __future__ import annotations

from typing import Any

import pytest

from aiosched._engine.timer import AWAKE, COARSE, Timer
from aiosched.instants import SECOND


class Hand:
    """A clock of which each look takes ten microseconds, and naps what they say."""

    def __init__(self) -> None:
        self.second = 1_000.0
        self.naps: list[float] = []

    def monotonic(self) -> float:
        self.second += 1e-5
        return self.second

    def estimate(self) -> int:
        return round(self.monotonic() * SECOND)

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.second += seconds + 2e-5


class Dozing(Timer):
    """A timer that says how long it would doze, on a clock of the test's."""

    def __init__(self, clock: Any, heads: Any) -> None:
        session: Any = clock
        nobody: Any = None
        super().__init__(clock, session, heads, nobody, nobody, nobody, nobody)
        self.dozes: list[float] = []
        self.interrupted = False

    async def doze(self, seconds: float) -> bool:
        self.dozes.append(seconds)
        await self.clock.sleep(seconds / 2 if self.interrupted else seconds)
        return self.interrupted


class One:
    """Agendas of which the next instant is known."""

    at: int | None = None

    def next_instant(self) -> int | None:
        return self.at


def timer() -> tuple[Dozing, Hand, One]:
    clock, heads = Hand(), One()
    return Dozing(clock, heads), clock, heads


@pytest.mark.parametrize("ahead", [0.0002, 0.0009, 0.003, 7.5])
async def test_it_is_there_at_the_instant(ahead: float) -> None:
    one, clock, heads = timer()
    heads.at = round((clock.second + ahead) * SECOND)
    assert await one._exactly(pause=max(ahead, 0.001))
    late = clock.estimate() - heads.at
    assert 0 <= late < SECOND // 5_000
    assert set(clock.naps) - set(one.dozes) <= {0}  # others have their turns
    assert sum(one.dozes) == pytest.approx(max(ahead - COARSE, 0.0), abs=1e-4)


async def test_what_comes_before_is_not_waited_past() -> None:
    one, clock, heads = timer()
    assert not await one._exactly(pause=30.0)  # nothing is due at all
    heads.at = round((clock.second + 5.0) * SECOND)
    assert not await one._exactly(pause=0.5)
    heads.at = round((clock.second - 5.0) * SECOND)
    assert not await one._exactly(pause=0.001)
    assert one.dozes == []
    heads.at = round((clock.second + 5.0) * SECOND)
    one.interrupted = True
    assert await one._exactly(pause=5.0)
    assert 0 not in clock.naps  # woken: it looks again, and does not wait awake


async def test_being_awake_has_bounds() -> None:
    """A twentieth of the time at the most, however many instants there are."""
    one, clock, heads = timer()
    begun, spent, refused = clock.second, 0.0, 0
    for _ in range(1_000):
        heads.at = round((clock.second + 0.0009) * SECOND)
        before = clock.second
        if await one._exactly(pause=0.001):
            spent += clock.second - before
        else:
            refused += 1
            clock.second += 0.0009
    assert refused > 800
    # Looks at the clock before and after are not counted as being awake.
    assert spent <= 1.1 * AWAKE * (1 + clock.second - begun) + COARSE
