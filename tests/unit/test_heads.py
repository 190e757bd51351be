"""What a peer knows of an agenda while a reading of it is under way."""

from __future__ import annotations

from aiosched._engine.heads import Heads
from aiosched.abc import Head
from aiosched.records import Change, Definition, Record, Spec, State

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


def changed(seq: int, at: int) -> Change:
    definition = Definition("job", Spec("work"), None)
    return Change(Record(definition, State(seq, 0)), at)


def test_what_is_moved_back_before_its_own_answer_is_heard_is_looked_at() -> None:
    """A look moves an entry on, and a run that ends then moves it back.

    The end may be heard of first: nothing seems to have moved then.
    """
    heads = Heads(SECOND // 4)
    heads.assign({KEY: 0})
    heads.update(KEY, "job", SECOND, seq=6)
    (due,) = heads.pop_due(SECOND, 10)
    heads.commit(KEY, "job", changed(8, SECOND))
    heads.attended(due, changed(7, 9 * SECOND))
    assert heads.next_instant() == SECOND
    assert heads.pop_due(SECOND, 10) == [due]
    # The other way round, once.
    heads.attended(due, changed(9, 9 * SECOND))
    heads.commit(KEY, "job", changed(10, SECOND))
    assert heads.pop_due(SECOND, 10) == [due]
    assert heads.pop_due(SECOND, 10) == []


def test_what_was_passed_over_is_looked_at_when_a_look_has_changed_it() -> None:
    """It may stand where it stood, with less in it."""
    heads = Heads(SECOND // 4)
    heads.assign({KEY: 0})
    heads.update(KEY, "job", SECOND, seq=6)
    (due,) = heads.pop_due(SECOND, 10)
    heads.ignore(KEY, "job", SECOND, until=5 * SECOND)
    assert heads.next_instant() == 5 * SECOND
    (due,) = heads.pop_due(5 * SECOND, 10)
    heads.attended(due, changed(7, SECOND))
    assert heads.pop_due(5 * SECOND, 10) == [due]


def test_what_was_passed_over_and_had_no_place_is_looked_at_again() -> None:
    heads = Heads(SECOND // 4)
    heads.assign({KEY: 0})
    heads.update(KEY, "job", SECOND, seq=6)
    (due,) = heads.pop_due(SECOND, 10)
    heads.ignore(KEY, "job", SECOND, until=5 * SECOND)
    (due,) = heads.pop_due(5 * SECOND, 10)
    heads.again(due, due.at)
    assert heads.next_instant() == 5 * SECOND
    assert heads.pop_due(5 * SECOND, 10) == [due]


def test_news_of_what_was_passed_over_lets_it_be_looked_at_again() -> None:
    """It has been modified, say, and stands where it stood."""
    heads = Heads(SECOND // 4)
    heads.assign({KEY: 0})
    heads.update(KEY, "job", SECOND, seq=6)
    (due,) = heads.pop_due(SECOND, 10)
    heads.ignore(KEY, "job", SECOND)
    heads.update(KEY, "job", SECOND, seq=6)  # the same news again
    assert heads.next_instant() is None
    heads.update(KEY, "job", SECOND, seq=7)
    assert heads.pop_due(SECOND, 10) == [due]


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


OTHERS = [(shard, "default") for shard in range(4)]


def with_backlog() -> Heads:
    """Return four agendas, in which ten jobs each are due in turn."""
    heads = Heads(SECOND // 4)
    heads.assign(dict.fromkeys(OTHERS, 0))
    for shard, queue in OTHERS:
        entries = tuple((f"{shard}.{n}", (4 * n + shard) * SECOND) for n in range(10))
        heads.asking([(shard, queue)])
        heads.load(Head(shard, queue, entries, complete=True, rev=1), asked=0)
    return heads


def test_who_has_too_few_places_takes_much_of_few_agendas() -> None:
    heads, now = with_backlog(), 200 * SECOND
    taken = [due.job_id for due in heads.pop_due(now, 12)]
    assert taken == [f"0.{n}" for n in range(10)] + ["1.0", "1.1"]
    assert heads.next_instant() == 2 * SECOND
    rest = {due.job_id for due in heads.pop_due(now, 100)}
    assert len(rest) == 28
    assert not rest & {*taken}
    assert heads.next_instant() is None


def test_who_waits_is_not_overtaken_by_who_has_just_come() -> None:
    heads, now = with_backlog(), 40 * SECOND
    # 0.0 has waited for 40 s, so only what has waited for 20 s comes with it.
    taken = [due.job_id for due in heads.pop_due(now, 7)]
    assert taken == ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "1.0"]
    assert len(heads.pop_due(now, 100)) == 33


def test_a_shard_that_is_attended_hands_out_nothing() -> None:
    heads, now = with_backlog(), 200 * SECOND
    heads.hold([0])
    assert heads.next_instant() == SECOND
    assert {due.key[0] for due in heads.pop_due(now, 100)} == {1, 2, 3}
    heads.update((0, "default"), "new", 0)
    assert heads.next_instant() is None
    assert heads.pop_due(now, 100) == []
    heads.release([0])
    assert heads.next_instant() == 0
    assert len(heads.pop_due(now, 100)) == 11


def test_an_agenda_is_handed_out_when_its_first_entry_says_so() -> None:
    heads = with_backlog()
    heads.update((3, "default"), "3.0", None)
    heads.update((2, "default"), "2.9", 500)
    assert heads.next_instant() == 0
    assert [due.job_id for due in heads.pop_due(600, 5)] == ["0.0", "2.9"]
    assert heads.next_instant() == SECOND
    heads.update((2, "default"), "2.9", None)
    heads.assign({(2, "default"): 2})
    assert heads.next_instant() == 2 * SECOND + SECOND // 2
    assert [due.job_id for due in heads.pop_due(3 * SECOND, 5)] == ["2.0"]
