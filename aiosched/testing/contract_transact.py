"""The store contract: what one transaction reads, writes and refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiosched.abc import MAX_BATCH, Decide, Session, shard_of
from aiosched.clock import random_id
from aiosched.enums import (
    Cause,
    Coalesce,
    JobState,
    OnLost,
    Overlap,
    Reason,
)
from aiosched.instants import DAY, SECOND
from aiosched.records import (
    Change,
    Counts,
    Definition,
    LiveRun,
    Pending,
    Record,
    Reported,
    RetryRule,
    Spec,
    State,
)
from aiosched.rows import pack_row
from aiosched.testing.contract_base import (
    ContractBase,
    entries_of,
    everything,
    found_by,
    rows_of,
    subscribers,
)
from aiosched.testing.contract_decisions import (
    SHARDS,
    claim,
    create,
    erase,
    extend,
    firing,
    ids_in,
    new_record,
    rewritten,
    run_row,
    settle,
    touch,
)
from aiosched.triggers.interval import IntervalTrigger

__all__ = ["TransactContract"]

ODD_IDS = (
    "a",
    "x" * 200,
    "ж" * 200,
    "{tag}:1",
    "a|b",
    "a:b",
    "a%7Cb",
    " space ",
    "new\nline\r\n",
    "*?[a-z]\\",
    "tab\tnull\x00end",
    "🦊-日本-é-e\u0301",
    "-1",
    "0",
    "None",
    "'\"`$(x)",
)
MEGABYTE = b'"' + b"x" * (1 << 20) + b'"'


def full_spec() -> Spec:
    """Return a spec with something in every field."""
    return Spec(
        "contract.Würfel|%\n",
        IntervalTrigger(seconds=5),
        keyword="bestellung|ß",
        queue="mail|é",
        max_runs=9,
        misfire_grace=0,
        coalesce=Coalesce.ALL,
        overlap=Overlap.CANCEL_PREVIOUS,
        max_running=3,
        jitter=250_000,
        timeout=SECOND,
        retry=RetryRule(5, SECOND, 1.5, DAY, 0.25, ("KeyError", "a.B|C"), False),
        on_lost=OnLost.RECORD,
        max_lost=1,
        keep=7 * DAY,
        keep_last=3,
        tags=("a,b", "c|d", "ü"),
        note="line one\nline two | %",
        meta='{"owner": "|\\u00e9"}',
        declared=0,
    )


def full_record(job_id: str, now: int) -> Record:
    """Return a record with something in every field."""
    waiting = Pending(
        "fire|1\n%",
        Cause.KEYWORD,
        now - 5,
        now + 3 * SECOND,
        attempt=2,
        lost=1,
        missed=7,
        expires=now + DAY,
        payload='{"größe": "|\\n%"}'.encode(),
        open=True,
        trace="4bf92f|,;~%",
    )
    live = Pending(str(now - SECOND), Cause.SLOT, now - SECOND, now, attempt=1)
    said = Reported(7_300, "73 %|a,b;c~d ü", now)
    run = LiveRun(now + 1, random_id(), now + DAY, now, live, Reason.USER, said)
    other = LiveRun(now + 2, random_id(), now + DAY, now - 1, firing("m", now))
    definition = Definition(
        job_id, full_spec(), now - DAY, '[["|\\n"],{"ä":1}]'.encode()
    )
    state = State(
        seq=now + 7,
        created=now - 1,
        version=3,
        status=JobState.PAUSED,
        next=now + SECOND,
        since=now - DAY,
        latest=now,
        former=4,
        runs=(other, run),
        waiting=(waiting, firing("f2", now, b"[]")),
        counts=Counts(9, 1, 2, 3, 4, 5, 1, 2, 3, 0, 1, 1),
        ends=now + 9 * DAY,
        pause_until=now + DAY,
        pause_note="bis morgen | ok\n",
        trace="00f067|,;~%",
    )
    state.recent = (pack_row(run_row(Record(definition, state), run, now)),)
    return Record(definition, state)


def full() -> Decide:
    """Write full records."""

    def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
        return {
            job_id: Change(full_record(job_id, now), now + DAY) for job_id in records
        }

    return decide


class TransactContract(ContractBase):
    """One transaction: what it is given, what it leaves behind."""

    async def test_a_record_comes_back_whole(self) -> None:
        """Every field survives, with defaults and without."""
        async with self.opened(2) as [one, two]:
            for job_id, decide in (("bare", create()), ("full", full())):
                [change] = (await one.transact([job_id], decide)).values()
                assert change.record is not None
                expected = change.record
                assert await two.read([job_id]) == {job_id: expected}
                assert await found_by(two, job_id) == {job_id: expected}
                assert (await everything(two))[job_id] == expected

    async def test_what_is_not_there_is_none(self) -> None:
        """A decision sees None; a read leaves it out."""
        async with self.opened() as [session]:
            assert await found_by(session, "nothing") == {"nothing": None}
            assert await session.read(["nothing"]) == {}
            assert await session.read([]) == {}

    async def test_ids_left_out_stay_as_they_are(self) -> None:
        """Only the changes of the answer are written and returned."""
        async with self.opened() as [session]:
            ids = ids_in(0, 3)
            await session.transact(ids, create(1))
            before = await session.read(ids)
            made = await session.transact(ids, claim("me", limit=1))
            assert list(made) == ids[:1]
            after = await session.read(ids)
            assert after[ids[0]].state.runs
            assert [after[i] for i in ids[1:]] == [before[i] for i in ids[1:]]
            assert await session.transact(ids, lambda _records, _now: {}) == {}

    async def test_the_answer_holds_what_was_decided(self) -> None:
        """Starts, rows and answer come back with each change."""
        async with self.opened() as [session]:
            ids = ids_in(1, 2)
            made = await session.transact(ids, create(1))
            assert {change.answer for change in made.values()} == {"created"}
            claimed = await session.transact(ids, claim("me"), claim=True)
            assert set(claimed) == set(ids)
            for job_id, change in claimed.items():
                [start] = change.starts
                assert start.definition.id == job_id
                assert change.record is not None
                assert start.run == change.record.state.runs[0]

    async def test_a_decision_that_raises_leaves_nothing(self) -> None:
        """Its error comes through, and nothing of the batch is written."""
        async with self.opened() as [session]:
            ids = ids_in(2, 3)
            await session.transact(ids[:1], create(5))
            before = await session.read(ids)
            heads = list(await session.agenda([(2, "default")]))

            def broken(records: Mapping[str, Record | None], now: int) -> Any:
                create(9)(records, now)
                raise LookupError("contract")

            try:
                await session.transact(ids, broken)
            except LookupError as error:
                assert str(error) == "contract"  # noqa: PT017 - no pytest here
            else:
                message = "the error of the decision was swallowed"
                raise AssertionError(message)
            assert await session.read(ids) == before
            assert list(await session.agenda([(2, "default")])) == heads
            assert await rows_of(session) == []

    async def test_bounds_of_a_batch(self) -> None:
        """1 to MAX_BATCH ids of one shard; anything else writes nothing.

        Of several, where the session says so.
        """
        async with self.opened() as [session]:
            ids = ids_in(3, MAX_BATCH + 1)
            strange = [ids[0], ids_in(1, 1)[0]]
            for wrong in ([], ids) if session.spanning else ([], ids, strange):
                await _refused(session, wrong)
                await _refused(session, wrong, claim=True)
            assert await everything(session) == {}
            made = await session.transact(ids[:MAX_BATCH], create(1))
            assert len(made) == MAX_BATCH
            assert set(await everything(session)) == set(ids[:MAX_BATCH])
            claimed = await session.transact(ids[:MAX_BATCH], claim("me"), claim=True)
            assert len(claimed) == MAX_BATCH

    async def test_odd_ids(self) -> None:
        """Any text of 1 to 200 characters names a job, and only that job."""
        async with self.opened() as [session]:
            for job_id in ODD_IDS:
                await session.transact([job_id], create(7, keyword=job_id))
            assert set(await session.read(ODD_IDS)) == set(ODD_IDS)
            assert set(await everything(session)) == set(ODD_IDS)
            for job_id in ODD_IDS:
                shard = shard_of(job_id, SHARDS)
                assert (await entries_of(session, shard))[job_id] == 7
                assert await subscribers(session, job_id) == [job_id]
                await session.transact([job_id], claim("me"))
                assert (await session.read([job_id]))[job_id].state.runs
            for job_id in ODD_IDS:
                await session.transact([job_id], erase())
            assert await everything(session) == {}

    async def test_a_megabyte(self) -> None:
        """Large arguments and payloads arrive whole where a run starts."""
        async with self.opened(2) as [one, two]:

            def large(_: Mapping[str, Record | None], now: int) -> Any:
                record = new_record("big", now)
                definition = Definition(
                    "big", record.definition.spec, None, b"[[" + MEGABYTE + b"],{}]"
                )
                state = rewritten(
                    record, now, waiting=(firing("f", now, MEGABYTE),)
                ).state
                return {"big": Change(Record(definition, state), now)}

            await one.transact(["big"], large)
            read = (await two.read(["big"]))["big"]
            assert read.definition.arguments == b"[[" + MEGABYTE + b"],{}]"
            [change] = (await two.transact(["big"], claim("me"), claim=True)).values()
            [start] = change.starts
            assert start.definition.arguments == b"[[" + MEGABYTE + b"],{}]"
            assert start.run.firing.payload == MEGABYTE
            await one.transact(["big"], touch())
            await two.transact(["big"], settle("me", start.run.fence))
            again = (await one.read(["big"]))["big"]
            assert again.definition.arguments == b"[[" + MEGABYTE + b"],{}]"
            assert not again.state.runs
            await one.sweep()
            assert await one.read(["big"]) == {"big": again}
            await one.transact(["big"], erase())
            assert await two.read(["big"]) == {}

    async def test_thousand_ids_are_read(self) -> None:
        """A read takes 1,000 ids of any shards at once."""
        async with self.opened() as [session]:
            ids = [f"many-{n}" for n in range(1_000)]
            for shard in range(SHARDS):
                mine = [i for i in ids if shard_of(i, SHARDS) == shard]
                for start in range(0, len(mine), MAX_BATCH):
                    await session.transact(mine[start : start + MAX_BATCH], create())
            assert set(await session.read(ids)) == set(ids)

    async def test_removal_while_claimed(self) -> None:
        """A removed job stays until its run has settled, and its row remains."""
        async with self.opened(2) as [one, two]:
            await one.transact(["job"], create(1))
            [change] = (await one.transact(["job"], claim("me"), claim=True)).values()
            run = change.starts[0].run

            def remove(records: Mapping[str, Record | None], now: int) -> Any:
                record = records["job"]
                assert record is not None
                gone = rewritten(record, now, status=JobState.REMOVED)
                return {"job": Change(gone, run.until)}

            await two.transact(["job"], remove)
            held = (await one.read(["job"]))["job"]
            assert held.state.status is JobState.REMOVED
            assert held.state.runs == (run,)
            assert await one.transact(["job"], settle("me", run.fence))
            assert await two.read(["job"]) == {}
            assert await entries_of(two, shard_of("job", SHARDS)) == {}
            assert [row.fence for row in await rows_of(two, "job")] == [run.fence]

    async def test_made_again_after_removal(self) -> None:
        """An id can be used again, and its old run's fence is stale."""
        async with self.opened() as [session]:
            await session.transact(["job"], create(1))
            [change] = (await session.transact(["job"], claim("me"))).values()
            fence = change.starts[0].run.fence
            await session.transact(["job"], erase())
            await session.transact(["job"], create(2))
            assert await session.transact(["job"], settle("me", fence)) == {}
            assert (await session.read(["job"]))["job"].state.seq > 0
            assert await rows_of(session, "job") == []

    async def test_stale_fences_change_nothing(self) -> None:
        """A wrong fence, or the right one of another owner, is answered empty."""
        async with self.opened(2) as [one, two]:
            await one.transact(["job"], create(1))
            [change] = (await one.transact(["job"], claim("me"))).values()
            fence = change.starts[0].run.fence
            before = await one.read(["job"])
            for verb in (settle, extend):
                for owner, token in (("me", fence - 1), ("you", fence), ("me", 0)):
                    assert await two.transact(["job"], verb(owner, token)) == {}
            assert await one.read(["job"]) == before
            assert await one.transact(["job"], extend("me", fence))
            assert await one.transact(["job"], settle("me", fence))
            for verb in (settle, extend):
                assert await one.transact(["job"], verb("me", fence)) == {}
            assert len(await rows_of(one, "job")) == 1

    async def test_lease_at_its_exact_end(self) -> None:
        """Whoever decides at the very instant of a lease's end sees it ended."""
        async with self.opened(2) as [one, two]:
            await one.transact(["job"], create(1))
            [change] = (await one.transact(["job"], claim("me", lease=0))).values()
            old = change.starts[0].run
            assert await entries_of(one, shard_of("job", SHARDS)) == {"job": old.until}
            [change] = (await two.transact(["job"], claim("you"), claim=True)).values()
            new = change.starts[0].run
            assert new.fence > old.fence
            assert new.started >= old.until
            assert await one.transact(["job"], claim("me"), claim=True) == {}
            assert await one.transact(["job"], extend("me", old.fence)) == {}
            assert await one.transact(["job"], settle("me", old.fence)) == {}
            assert (await one.read(["job"]))["job"].state.runs == (new,)

    async def test_the_stores_time(self) -> None:
        """It never goes back, and all sessions are told the same time."""
        async with self.opened(2) as [one, two]:
            told: list[int] = []

            def note(_: Mapping[str, Record | None], now: int) -> dict[str, Change]:
                told.append(now)
                return {}

            for session in (one, two, one, two):
                await session.transact(["job"], note)
                told.append(await session.now())
            assert told == sorted(told)
            assert abs(one.estimate() - await one.now()) < SECOND
            assert abs(two.estimate() - one.estimate()) < SECOND
            before = await one.now()
            await self.advance(0.05)
            assert await two.now() - before >= 50_000
            assert two.estimate() - before >= 50_000 - SECOND // 50

    async def test_cancellation_leaves_records_whole(self) -> None:
        """However far it came, all of a batch is written or nothing."""
        async with self.opened(2) as [one, two]:
            ids = ids_in(0, 3)
            await one.transact(ids, create(1))
            for steps in range(12):
                write = asyncio.ensure_future(one.transact(ids, touch(steps)))
                for _ in range(steps):
                    await asyncio.wait([write], timeout=0)
                write.cancel()
                await asyncio.wait([write])
                await _is_whole(two, ids)
                # The session is as good as before.
                assert len(await one.transact(ids, touch(steps))) == len(ids)
                await _is_whole(two, ids)


async def _is_whole(session: Session, ids: list[str]) -> None:
    found = await found_by(session, *ids)
    written = {record.state.counts.asked for record in found.values() if record}
    assert len(written) == 1, f"a part of the batch was written: {found}"


async def _refused(session: Session, ids: list[str], *, claim: bool = False) -> None:
    try:
        await session.transact(ids, create(1), claim=claim)
    except ValueError:
        return
    message = f"a transaction over {len(ids)} ids was not refused"
    raise AssertionError(message)
