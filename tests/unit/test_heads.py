"""What a peer knows of an agenda while a reading of it is under way."""

from __future__ import annotations

from aiosched._engine.heads import Heads
from aiosched.abc import Head

KEY = (0, "default")
SECOND = 1_000_000


def reading(*entries: tuple[str, int]) -> Head:
    return Head(*KEY, entries, complete=True, rev=1)


def test_what_moved_during_a_reading_is_not_taken_back_by_it() -> None:
    heads = Heads(SECOND // 4)
    heads.assign({KEY: 0})
    heads.asking([KEY])
    # Settled, and gone, after the store had answered with their leases' ends.
    heads.update(KEY, "again", 2 * SECOND)
    heads.update(KEY, "gone", None)
    heads.load(reading(("again", 15 * SECOND), ("gone", 15 * SECOND)), asked=SECOND)
    assert heads.next_instant() == 2 * SECOND
    assert len(heads) == 1
    # The next reading knows better than what moved before it.
    heads.asking([KEY])
    heads.load(reading(("again", 3 * SECOND)), asked=2 * SECOND)
    assert heads.next_instant() == 3 * SECOND


def test_what_is_doubted_during_a_reading_is_read_again() -> None:
    heads = Heads(SECOND // 4)
    heads.assign({KEY: 0})
    assert heads.stale() == [KEY]
    heads.asking([KEY])
    heads.invalidate([KEY])
    heads.load(reading(), asked=SECOND)
    assert heads.stale() == [KEY]
    heads.asking([KEY])
    heads.load(reading(), asked=SECOND)
    assert heads.stale() == []


def test_news_that_was_overtaken_is_passed_over() -> None:
    heads = Heads(SECOND // 4)
    heads.assign({KEY: 0})
    heads.update(KEY, "job", 2 * SECOND, seq=8)
    # A signal of an earlier commit, heard late.
    heads.update(KEY, "job", 15 * SECOND, seq=7)
    assert heads.next_instant() == 2 * SECOND


def test_an_agenda_is_read_on_when_nothing_is_left_to_act_on() -> None:
    heads = Heads(SECOND // 4)
    heads.assign({KEY: 0})
    heads.asking([KEY])
    entries = (("foreign", SECOND), ("mine", 2 * SECOND))
    heads.load(Head(*KEY, entries, complete=False, rev=1), asked=0)
    assert heads.stale() == []
    heads.ignore(KEY, "foreign", SECOND)
    assert heads.stale() == []
    heads.update(KEY, "mine", None)
    assert heads.stale() == [KEY]
    assert heads.limit([KEY]) > heads.limit([])
