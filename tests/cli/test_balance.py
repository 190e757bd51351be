"""The demo's judge: sound books pass, and each way of cooking them is caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from aiosched.cli.balance import Balance, Expected, Fault, balance, percentile
from aiosched.cli.witness import Sighting
from aiosched.enums import Cause, Outcome, Reason, RowKind
from aiosched.instants import micros
from aiosched.jobs import LedgerEntry, Run
from aiosched.records import Counts
from aiosched.triggers import IntervalTrigger

START = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LATE = timedelta(milliseconds=3)
TRIGGER = IntervalTrigger(seconds=1, start=START, end=START + 5 * SECOND)


def slot(n: int) -> datetime:
    return START + n * SECOND


def slot_key(n: int) -> str:
    return str(micros(slot(n)))


def run_entry(
    key: str,
    at: datetime,
    *,
    attempt: int = 1,
    outcome: Outcome = Outcome.SUCCEEDED,
    final: bool = True,
    peer: str = "p1",
    cause: Cause = Cause.SLOT,
) -> LedgerEntry:
    started = at + LATE + (attempt - 1) * SECOND
    run = Run(
        "job",
        key,
        cause,
        at,
        at,
        attempt,
        outcome,
        Reason.NONE,
        final,
        peer,
        7,
        started,
        started + LATE,
    )
    kind = RowKind(outcome.value)
    counted = 1 if cause is Cause.SLOT else 0
    return LedgerEntry("job", kind, started, at, at, counted, Reason.NONE, peer, 7, run)


def seen(key: str, attempt: int = 1, peer: str = "p1") -> Sighting:
    return Sighting("job", key, attempt, peer, f"peer {peer}", 7)


@dataclass
class Books:
    """Six slots: 0 to 2 succeed, 3 and 4 are skipped, 5 is lost and run again."""

    expected: Expected = field(
        default_factory=lambda: Expected(
            "job", "every 1 s", TRIGGER, fires=frozenset(("f1",))
        )
    )
    counts: Counts = field(
        default_factory=lambda: Counts(fired=4, asked=1, skipped=2, succeeded=5)
    )
    rows: list[LedgerEntry] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    killed: frozenset[str] = frozenset(("dead",))

    def __post_init__(self) -> None:
        skipped = LedgerEntry(
            "job", RowKind.SKIPPED, slot(4), slot(3), slot(4), 2, Reason.OVERLAP
        )
        self.rows = [
            LedgerEntry("job", RowKind.CREATED, START, None, None, 0, Reason.NONE),
            *(run_entry(slot_key(n), slot(n)) for n in range(3)),
            skipped,
            run_entry(
                slot_key(5), slot(5), outcome=Outcome.LOST, final=False, peer="dead"
            ),
            run_entry(slot_key(5), slot(5), attempt=2),
            run_entry("f1", slot(2), cause=Cause.KEYWORD),
        ]
        self.sightings = [
            *(seen(slot_key(n)) for n in range(3)),
            seen(slot_key(5), peer="dead"),
            seen(slot_key(5), attempt=2),
            seen("f1"),
        ]

    def balance(self) -> Balance:
        return balance(
            self.expected, self.counts, self.rows, self.sightings, killed=self.killed
        )


def test_sound_books_balance() -> None:
    books = Books().balance()
    assert books.problems == []
    assert (books.slots, books.open) == (6, 0)
    assert (books.starts, books.again, books.lost) == (6, 1, 1)
    assert books.peers == {"peer p1": 5, "peer dead": 1}
    assert books.lateness == [LATE.total_seconds()] * 5


def test_a_run_lost_before_its_executor_was_entered_is_sound() -> None:
    books = Books()
    books.sightings.remove(seen(slot_key(5), peer="dead"))
    assert books.balance().problems == []


def test_a_retry_after_a_failure_is_sound() -> None:
    books = Books()
    books.rows[5] = run_entry(slot_key(5), slot(5), outcome=Outcome.FAILED, final=False)
    assert books.balance().problems == []


def without_row(n: int) -> Callable[[Books], None]:
    def cook(books: Books) -> None:
        del books.rows[n]

    return cook


def row_twice(n: int) -> Callable[[Books], None]:
    def cook(books: Books) -> None:
        books.rows.append(books.rows[n])

    return cook


def counts(**more: int) -> Callable[[Books], None]:
    def cook(books: Books) -> None:
        books.counts = books.counts.plus(**more)

    return cook


def unseen(n: int) -> Callable[[Books], None]:
    def cook(books: Books) -> None:
        del books.sightings[n]

    return cook


def also_seen(one: Sighting) -> Callable[[Books], None]:
    def cook(books: Books) -> None:
        books.sightings.append(one)

    return cook


def nobody_killed(books: Books) -> None:
    books.killed = frozenset()


def again_after_success(books: Books) -> None:
    books.rows[5] = run_entry(slot_key(5), slot(5))


def range_too_short(books: Books) -> None:
    books.rows[4] = replace(books.rows[4], last=slot(3))


def one_more_wanted(books: Books) -> None:
    books.expected = replace(books.expected, max_runs=5)


def one_less_wanted(books: Books) -> None:
    books.expected = replace(books.expected, max_runs=3)


def another_fire_wanted(books: Books) -> None:
    books.expected = replace(books.expected, fires=frozenset(("f1", "f2")))


def foreign_slot(books: Books) -> None:
    at = slot(1) + SECOND / 2
    books.rows.append(run_entry(str(micros(at)), at))


@pytest.mark.parametrize(
    ("cook", "fault", "text"),
    [
        pytest.param(without_row(1), Fault.MISSING, "not in the ledger", id="lost row"),
        pytest.param(row_twice(1), Fault.DOUBLED, "2 times", id="row twice"),
        pytest.param(without_row(4), Fault.MISSING, "not in the ledger", id="no range"),
        pytest.param(row_twice(4), Fault.DOUBLED, "2 times", id="range twice"),
        pytest.param(range_too_short, Fault.MISSING, "not in", id="range too short"),
        pytest.param(foreign_slot, Fault.SUM, "no slot", id="foreign slot"),
        pytest.param(without_row(7), Fault.MISSING, "fire f1", id="lost fire"),
        pytest.param(row_twice(7), Fault.DOUBLED, "fire f1", id="fire twice"),
        pytest.param(another_fire_wanted, Fault.MISSING, "fire f2", id="unheard fire"),
        pytest.param(counts(fired=1), Fault.MISSING, "no outcome", id="open firing"),
        pytest.param(counts(skipped=1), Fault.SUM, "3 skipped", id="skipped sum"),
        pytest.param(counts(failed=1), Fault.SUM, "1 failed", id="outcome sum"),
        pytest.param(one_more_wanted, Fault.MISSING, "not 5", id="too few runs"),
        pytest.param(one_less_wanted, Fault.DOUBLED, "not 3", id="too many runs"),
        pytest.param(unseen(0), Fault.MISSING, "nobody ran it", id="never ran"),
        pytest.param(
            also_seen(seen(slot_key(0))), Fault.DOUBLED, "2 times", id="entered twice"
        ),
        pytest.param(
            also_seen(seen(slot_key(0), attempt=2)),
            Fault.DOUBLED,
            "not in the ledger",
            id="unknown attempt",
        ),
        pytest.param(
            also_seen(seen(slot_key(3))),
            Fault.DOUBLED,
            "not in the ledger",
            id="skipped slot ran",
        ),
        pytest.param(
            nobody_killed,
            Fault.DOUBLED,
            "its peer lives",
            id="second start, peer lives",
        ),
        pytest.param(
            again_after_success, Fault.DOUBLED, "did not fail", id="again after success"
        ),
    ],
)
def test_cooked_books_are_caught(
    cook: Callable[[Books], None], fault: Fault, text: str
) -> None:
    books = Books()
    cook(books)
    found = books.balance().problems
    assert [p for p in found if p.fault is fault and text in p.text], found


def test_other_jobs_do_not_count() -> None:
    books = Books()
    books.rows.append(replace(books.rows[1], job_id="other"))
    books.sightings.append(replace(seen("x"), job_id="other"))
    assert books.balance().problems == []


def test_percentiles_are_of_nearest_rank() -> None:
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([4.0], 0.5) == 4.0
    assert percentile([], 0.5) is None
