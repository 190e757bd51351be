"""The ledger, as people read it: who did what, when, how late, page by page."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import chain, cycle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiosched import (
    ConfigurationError,
    Context,
    HistoryPage,
    IntervalTrigger,
    Job,
    LedgerEntry,
    Outcome,
    Reason,
    Retry,
    RowKind,
    Scheduler,
    StoreDataError,
)
from aiosched.records import Row
from aiosched.rows import pack_row
from aiosched.testing import run_virtual
from tests.engine.conftest import MakeScheduler
from tests.engine.kit import World, after, at

NEVER = IntervalTrigger(days=3650)


async def whole(scheduler: Scheduler, size: int, **asked: Any) -> list[LedgerEntry]:
    """Read a history to its end in pages of one size."""
    found: list[LedgerEntry] = []
    cursor: str | None = None
    while True:
        page = await scheduler.history(limit=size, cursor=cursor, **asked)
        assert len(page) <= size
        found += page
        cursor = page.cursor
        if cursor is None:
            return found


def kinds(entries: list[LedgerEntry]) -> list[str]:
    return [entry.kind.value for entry in entries]


# --- who asked -------------------------------------------------------------------


async def test_each_act_says_who_and_why(make_scheduler: MakeScheduler) -> None:
    async with make_scheduler("ops") as ops, make_scheduler("desk") as desk:

        async def work() -> None:
            pass

        for peer in (ops, desk):
            peer.register(work)
        await ops.schedule(Job("work", id="a", trigger=NEVER))
        await desk.pause("a", note="month end", by="ann")
        await ops.resume("a", note="books are closed", by="bob")
        firing = await desk.start_job("a", note="once more")
        await desk.wait(firing, timeout=5)
        await ops.modify("a", note="new", tags=["x"], act_note="for May", by="carl")
        await ops.stop_job("a", by="dora")
        await desk.remove_job("a", note="no longer needed")
        entries = await ops.history("a")
        said = [(e.kind.value, e.by, e.note, e.fields) for e in entries if not e.run]
        assert said == [
            ("removed", "desk", "no longer needed", ()),
            ("stopped", "dora", "", ()),
            ("modified", "carl", "for May", ("note", "tags")),
            ("asked", "desk", "once more", ()),
            ("resumed", "bob", "books are closed", ()),
            ("held", "ann", "month end", ()),
            ("created", "ops", "", ()),
        ]
        [asked] = [entry for entry in entries if entry.kind is RowKind.ASKED]
        [run] = [entry for entry in entries if entry.run]
        assert asked.key == firing.key == run.key
        assert all(
            (e.first, e.last, e.count) == (None, None, 0) for e in entries if not e.run
        )


@pytest.mark.virtual(timeout=1000)
async def test_an_act_that_changes_nothing_is_no_row() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=NEVER))
        for _ in range(3):
            await p0.pause("a", note="why")
        for _ in range(3):
            await p0.resume("a")
        await p0.modify("a", note="")
        assert kinds(await p0.history("a")) == ["resumed", "held", "created"]


@pytest.mark.virtual(timeout=1000)
async def test_who_and_why_are_checked_before_anything_is_written() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=NEVER))
        bad: list[dict[str, Any]] = [
            {"by": ""},
            {"by": "x" * 201},
            {"by": 7},
            {"by": "a\nb"},
            {"note": "x" * 1001},
            {"note": None},
            {"note": "half \ud800"},
        ]
        verbs = [p0.pause, p0.resume, p0.start_job, p0.stop_job, p0.remove_job]
        for given_ in bad:
            [(field, value)] = given_.items()
            for verb in verbs:
                with pytest.raises(ConfigurationError) as caught:
                    await verb("a", **given_)
                assert (caught.value.field, caught.value.value) == (field, value)
            for bulk in (
                p0.pause_jobs,
                p0.resume_jobs,
                p0.start_jobs,
                p0.stop_jobs,
                p0.remove_jobs,
            ):
                with pytest.raises(ConfigurationError):
                    await bulk(**given_)
            changed = {"act_note" if field == "note" else field: value}
            with pytest.raises(ConfigurationError) as caught:
                await p0.modify("a", **changed)
            assert caught.value.field in changed
        assert kinds(await p0.history()) == ["created"]


# --- what a row of a run carries ------------------------------------------------------


@pytest.mark.virtual(timeout=100_000)
async def test_a_run_says_how_late_it_was_and_how_long_it_took() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        await p0.schedule(
            Job(
                "work",
                id="a",
                kwargs={"seconds": 2.5},
                trigger=IntervalTrigger(seconds=10, start=at(10)),
            )
        )
        await asyncio.sleep(15)
        world.crash("p0")
        await asyncio.sleep(20)
        p1 = await world.peer("p1")
        await asyncio.sleep(5)
        second, first = [e.run for e in await p1.history("a") if e.run][-2:]
        assert first is not None
        assert second is not None
        assert (first.due, first.lateness) == (at(10), timedelta(0))
        assert (first.late, first.duration) == (False, timedelta(seconds=2.5))
        assert first.fire_time == first.due
        # The slot of second 30 was the newest when somebody was there again.
        assert (second.fire_time, second.missed) == (at(30), 1)
        assert second.lateness == second.started_at - second.due == after(5)
        assert second.late


@pytest.mark.virtual(timeout=1000)
async def test_a_firing_that_never_started_has_no_lateness() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", keyword="k", paused=True))
        [firing] = await p0.fire_job("k")
        await asyncio.sleep(3)
        await p0.stop_job("a")
        run = await p0.wait(firing, timeout=1)
        assert (run.outcome, run.reason) == (Outcome.CANCELLED, Reason.USER)
        assert (run.started_at, run.lateness, run.duration) == (None, None, None)
        assert not run.late


@pytest.mark.virtual(timeout=1000)
async def test_jitter_is_no_lateness() -> None:
    async with World() as world:
        p0 = await world.peer()
        trigger = IntervalTrigger(seconds=100, start=at(100))
        await p0.schedule(Job("work", id="a", trigger=trigger, jitter=50))
        await asyncio.sleep(1000)
        runs = [e.run for e in await p0.history("a") if e.run]
        shares = {run.due - run.fire_time for run in runs if run}
        assert len(shares) == len(runs) >= 9
        assert all(timedelta(0) <= share <= after(50) for share in shares)
        assert {run.lateness for run in runs if run} == {timedelta(0)}


# --- results that fade -----------------------------------------------------------


async def test_results_fade_everywhere(make_scheduler: MakeScheduler) -> None:
    async with make_scheduler() as peer, make_scheduler("reader") as reader:
        told: list[Any] = []
        peer.add_done_callback(lambda run: told.append((run.result, run.faded)))

        @peer.executor
        async def secret(context: Context, fail: bool = False) -> str:  # noqa: FBT001, FBT002
            if fail:
                raise ValueError("of the password")
            return "the password"

        reader.register(secret)
        kept = Job("secret", id="kept", keyword="k", keep_results=60)
        brief = Job("secret", id="brief", keyword="k", keep_results=0.3)
        none = Job("secret", id="none", keyword="k", keep_results=0)
        await peer.schedule_many([kept, brief, none])
        for fail in (False, True):
            for firing in await peer.fire_job("k", {"fail": fail}):
                run = await reader.wait(firing, timeout=5)
                assert run.faded is (firing.job_id == "none")
        await peer._clock.sleep(0.5)

        for job_id in ("kept", "brief", "none"):
            faded = job_id != "kept"
            failed, ran = [e.run for e in await reader.history(job_id) if e.run]
            assert failed is not None
            assert ran is not None
            job = await reader.get_job(job_id)
            [listed] = [j for j in await reader.get_jobs() if j.id == job_id]
            waited = [await reader.wait(run.firing, timeout=5) for run in (failed, ran)]
            for bad, good in (
                (failed, ran),
                job.recent,
                listed.recent,
                waited,
            ):
                assert (bad.faded, good.faded) == (faded, faded)
                assert good.result == (None if faded else "the password")
                assert (bad.error is None) is faded
                assert b"password" not in (b"" if not faded else bad.value + good.value)
            # What happened is known all the same.
            assert (failed.outcome, ran.outcome) == (Outcome.FAILED, Outcome.SUCCEEDED)
        assert ("the password", False) in told


@pytest.mark.virtual(timeout=1000)
async def test_a_value_that_is_not_kept_is_never_written() -> None:
    async with World() as world:
        p0 = await world.peer()
        value = {"value": "the password"}
        await p0.schedule(Job("work", id="a", kwargs=value, keep_results=0))
        run = await p0.wait("a", timeout=1)
        assert (run.result, run.faded) == (None, True)
        session = p0._opened()
        rows = await session.ledger("a")
        record = (await session.read(["a"]))["a"]
        assert not any(b"password" in row.value for row in rows)
        assert not any("password" in line for line in record.state.recent)


# --- pages -----------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=4), busy=st.booleans())
def test_pages_of_any_size_lose_and_double_nothing(
    sizes: list[int],
    busy: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    """Over 1,000 rows of one microsecond, while further ones are written."""

    async def main() -> None:
        async with World() as world:
            p0 = await world.peer()
            await p0.schedule(Job("work", id="a", trigger=NEVER))
            await p0.schedule(Job("work", id="b", trigger=NEVER))
            for number in range(260):
                for job_id in ("a", "b"):
                    await p0.pause(job_id, note=f"{number}")
                    await p0.resume(job_id, note=f"{number}")
            for job_id, count in (("a", 521), (None, 1042)):
                before = list(await p0.history(job_id, limit=10_000))
                assert len({entry.at for entry in before}) == 1
                assert len(before) >= count
                read: list[LedgerEntry] = []
                cursor: str | None = None
                for size in chain(sizes, cycle(sizes)):
                    page = await p0.history(job_id, limit=size, cursor=cursor)
                    read += page
                    cursor = page.cursor
                    if cursor is None:
                        break
                    assert len(page) == size
                    if busy and len(read) % 3 == 0:
                        await p0.pause("a", note="meanwhile")
                        await p0.resume("a")
                assert read == before

    run_virtual(main())


async def test_a_thousand_rows_on_each_store(make_scheduler: MakeScheduler) -> None:
    """Batches of up to a hundred rows of one microsecond, over all shards."""
    async with make_scheduler() as peer:

        @peer.executor
        async def work() -> None:
            pass

        jobs = [Job("work", id=f"j{n}", trigger=NEVER) for n in range(350)]
        await peer.schedule_many(jobs)
        await peer.pause_jobs(note="all")
        await peer.remove_jobs(by="ann")
        before = list(await peer.history(limit=100_000))
        assert len(before) == 1050
        assert len({entry.at for entry in before}) < 1050
        assert len({(e.job_id, e.kind) for e in before}) == 1050
        for size in (1, 97, 350, 1050, 2000):
            if size > 1:
                assert await whole(peer, size) == before
        # Nothing is behind the last row, so no cursor leads there.
        assert (await peer.history(limit=1050)).cursor is None
        assert (await peer.history(limit=1049)).cursor is not None
        assert (await peer.history("j7", limit=3)).cursor is None
        short = await whole(peer, 1, job="j7")
        assert kinds(short) == ["removed", "held", "created"]
        removed = await whole(peer, 64, kind="removed")
        assert removed == [e for e in before if e.kind is RowKind.REMOVED]
        late = before[500].at
        assert await whole(peer, 41, since=late) == [e for e in before if e.at >= late]
        assert await whole(peer, 41, until=late) == [e for e in before if e.at <= late]


async def test_pages_while_peers_write(make_scheduler: MakeScheduler) -> None:
    async with make_scheduler("one") as one, make_scheduler("two") as two:

        async def work() -> None:
            pass

        for peer in (one, two):
            peer.register(work)
        await one.schedule_many(
            [Job("work", id=f"j{n}", trigger=NEVER) for n in range(60)]
        )
        for round_ in range(2):
            await two.pause_jobs(note=f"{round_}")
        before = list(await one.history(limit=10_000))
        read: list[LedgerEntry] = []
        cursor: str | None = None
        while True:
            page = await one.history(limit=7, cursor=cursor)
            read += page
            cursor = page.cursor
            if cursor is None:
                break
            name = f"j{len(read) % 60}"
            await asyncio.gather(one.resume(name), two.start_job(name))
        assert read == before


@pytest.mark.virtual(timeout=1000)
async def test_a_cursor_that_leads_nowhere_is_refused() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=NEVER))
        for cursor in (
            "",
            "x",
            "ledger",
            "ledger:1",
            "ledger:x:1",
            "ledger:1:x",
            "a:1:2",
        ):
            with pytest.raises(ConfigurationError) as caught:
                await p0.history("a", cursor=cursor)
            assert caught.value.field == "cursor"
        with pytest.raises(ConfigurationError):
            await p0.history("a", cursor=7)  # type: ignore[arg-type]
        page = await p0.history("a", limit=0)
        assert (page, page.cursor) == ([], None)
        assert isinstance(page, HistoryPage)


# --- filters ---------------------------------------------------------------------


@pytest.mark.virtual(timeout=100_000)
async def test_filters_choose_rows() -> None:
    async with World() as world:
        p0 = await world.peer()

        async def shaky(context: Context) -> None:
            if context.attempt == 1 or context.fire_time >= at(35):
                raise LookupError("no")

        p0.register(shaky)
        trigger = IntervalTrigger(seconds=10, start=at(10), end=at(40))
        twice = Retry(attempts=2, delay=1)
        await p0.schedule(Job("shaky", id="a", trigger=trigger, retry=twice))
        await asyncio.sleep(60)
        every_row = list(await p0.history("a"))

        async def chosen(**asked: Any) -> list[LedgerEntry]:
            found = await whole(p0, 2, job="a", **asked)
            assert found == list(await p0.history("a", **asked))
            return found

        assert kinds(every_row).count("failed") == 5
        assert len(await chosen(kind="failed")) == 5
        # An attempt after which another follows is no firing that failed.
        [failed] = await chosen(outcome=Outcome.FAILED)
        assert failed.run is not None
        assert (failed.run.attempt, failed.run.final) == (2, True)
        assert len(await chosen(outcome=["failed", "succeeded"])) == 4
        assert len(await chosen(runs_only=True)) == 8
        assert kinds(await chosen(kind=[RowKind.CREATED, "held"])) == ["created"]
        assert await chosen(kind="created", runs_only=True) == []
        assert await chosen(kind="missed") == []


@pytest.mark.virtual(timeout=1000)
async def test_filters_that_there_are_not_are_refused() -> None:
    async with World() as world:
        p0 = await world.peer()
        for asked, field in (
            ({"kind": "vanished"}, "kind"),
            ({"kind": ["held", "vanished"]}, "kind"),
            ({"kind": 7}, "kind"),
            ({"outcome": "created"}, "outcome"),
            ({"runs_only": 1}, "runs_only"),
            ({"since": datetime(2030, 1, 1)}, "since"),  # noqa: DTZ001 - is refused
            ({"limit": -1}, "limit"),
        ):
            wrong: dict[str, Any] = {**asked}
            with pytest.raises(ConfigurationError) as caught:
                await p0.history("a", **wrong)
            assert caught.value.field == field


# --- bounds ----------------------------------------------------------------------


@pytest.mark.virtual(timeout=10_000_000)
async def test_a_jobs_last_outcomes_outlive_the_ledger() -> None:
    """The namespace's age bounds rows; a rare job's last few are there yet."""
    day = 600.0
    async with World(terms={"ledger_age": 2.5 * day}) as world:
        p0 = await world.peer()
        trigger = IntervalTrigger(seconds=day, start=at(day))
        value = {"value": "v"}
        await p0.schedule(
            Job("work", id="a", trigger=trigger, kwargs=value, keep_last=5)
        )
        await asyncio.sleep(10.5 * day)
        ledger = await p0._opened().ledger("a", limit=1000)
        assert [row.at for row in ledger] == [round_at(n * day) for n in (10, 9, 8)]
        history = list(await p0.history("a"))
        assert [e.at for e in history] == [at(n * day) for n in (10, 9, 8, 7, 6)]
        assert {e.run.result for e in history if e.run} == {"v"}
        for size in (1, 2, 3, 4, 5, 6):
            assert await whole(p0, size, job="a") == history
        assert await whole(p0, 1, job="a", outcome="succeeded") == history
        assert await whole(p0, 1, job="a", kind="failed") == []
        span = {"since": at(6.5 * day), "until": at(9.5 * day)}
        assert await whole(p0, 1, job="a", **span) == history[1:4]
        early = await whole(p0, 1, job="a", until=at(7 * day))
        assert early == history[3:]
        # What was to follow is pushed out by newer outcomes: nothing is doubled.
        page = await p0.history("a", limit=4)
        await asyncio.sleep(3 * day)
        assert await p0.history("a", cursor=page.cursor) == []


def round_at(seconds: float) -> int:
    return round(at(seconds).timestamp() * 1_000_000)


@pytest.mark.virtual(timeout=1000)
async def test_what_cannot_be_read_is_told_apart_from_what_is_not_there() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=NEVER))
        session = p0._opened()
        read, transact = session.read, session.transact

        async def nothing(_ids: Any) -> dict[str, Any]:
            return {}

        async def unread(ids: Any, decide: Any, **options: Any) -> Any:
            return dict(decide({}, 0))

        session.read, session.transact = nothing, unread  # type: ignore[method-assign]
        with pytest.raises(StoreDataError):
            await p0.get_job("a")
        session.read, session.transact = read, transact  # type: ignore[method-assign]
        assert (await p0.get_job("a")).id == "a"


@pytest.mark.virtual(timeout=1000)
async def test_rows_of_an_earlier_version_can_be_read() -> None:
    """Acts without a value, and values that are none, are shown as nothing said."""
    from aiosched.jobs import entry_of
    from aiosched.rows import unpack_row

    for value in (b"", b"[]", b"7", b"nonsense", b'{"by": null, "fields": 3}'):
        row = Row("a", RowKind.HELD, 5, value=value)
        entry = entry_of(unpack_row(pack_row(row)))
        assert (entry.note, entry.fields, entry.at) == (
            "",
            (),
            datetime(1970, 1, 1, 0, 0, 0, 5, tzinfo=UTC),
        )
