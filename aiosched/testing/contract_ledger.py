"""The store contract: the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from aiosched.abc import Decide
from aiosched.clock import random_id
from aiosched.enums import Cause, Reason, RowKind
from aiosched.instants import SECOND
from aiosched.records import Change, Record, Row
from aiosched.testing.contract_base import ContractBase, rows_of
from aiosched.testing.contract_decisions import (
    claim,
    create,
    erase,
    ids_in,
    rewritten,
    settle,
)

__all__ = ["LedgerContract"]


def _rows(now: int, job_id: str) -> tuple[Row, ...]:
    """Return a row of each shape: outcome, range, event."""
    return (
        Row(
            job_id,
            RowKind.SUCCEEDED,
            now,
            now - SECOND,
            now - SECOND,
            key=str(now - SECOND),
            attempt=2,
            final=True,
            fence=now - 1,
            owner=random_id(),
            started=now - 5,
            missed=3,
            value='{"wert": "a|b%7C\\n|é 🦊"}'.encode(),
        ),
        Row(
            job_id,
            RowKind.FAILED,
            now,
            now - 7,
            now - 7,
            key="fire|id\n%",
            cause=Cause.KEYWORD,
            attempt=1,
            fence=now - 3,
            owner=random_id(),
            started=now,
        ),
        Row(
            job_id,
            RowKind.SKIPPED,
            now,
            now - 90 * SECOND,
            now - 30 * SECOND,
            count=61,
            fence=now - 9,
            owner=random_id(),
            reason=Reason.OVERLAP,
        ),
        Row(job_id, RowKind.CREATED, now),
        Row(job_id, RowKind.CANCELLED, now, reason=Reason.USER, value=b"[1,2]"),
    )


def _writing(number: int | None = None) -> Decide:
    """Append one of the rows to each job, or all of them."""

    def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
        changes: dict[str, Change] = {}
        for job_id, record in records.items():
            assert record is not None
            rows = _rows(now, job_id)
            if number is not None:
                rows = (rows[number],)
            changes[job_id] = Change(rewritten(record, now), 1, rows=rows)
        return changes

    return decide


class LedgerContract(ContractBase):
    """Rows are appended with the commit, and read newest first."""

    async def test_rows_come_back_whole(self) -> None:
        """Every field survives, in every kind of row."""
        async with self.opened(2) as [one, two]:
            for job_id in ("job", "größe|%\n🦊"):
                await one.transact([job_id], create())
                [change] = (await one.transact([job_id], _writing())).values()
                found = await rows_of(two, job_id)
                assert len(found) == len(change.rows)
                assert set(found) == set(change.rows)

    async def test_newest_first(self) -> None:
        """Over all jobs and shards, and of one job."""
        async with self.opened() as [session]:
            written: list[Row] = []
            ids = [f"job-{n}" for n in range(8)]
            for job_id in ids:
                await session.transact([job_id], create())
            for n in range(24):
                await self.advance(0.001)
                made = await session.transact([ids[n % 8]], _writing(n % 5))
                written += [row for change in made.values() for row in change.rows]
            newest = written[::-1]
            assert await rows_of(session) == newest
            assert await rows_of(session, limit=5) == newest[:5]
            assert await rows_of(session, ids[3]) == [
                row for row in newest if row.job_id == ids[3]
            ]
            assert (
                await rows_of(session, ids[3], limit=2)
                == [row for row in newest if row.job_id == ids[3]][:2]
            )
            assert await rows_of(session, "nobody") == []

    async def test_a_span_of_time(self) -> None:
        """``since`` and ``until`` are instants of decision, both included."""
        async with self.opened() as [session]:
            rows: list[Row] = []
            await session.transact(["job"], create())
            for _ in range(5):
                await self.advance(0.002)
                made = await session.transact(["job"], _writing(0))
                rows.insert(0, made["job"].rows[0])
            second, fourth = rows[3].at, rows[1].at
            for job_id in ("job", None):
                assert await rows_of(session, job_id, since=second) == rows[:4]
                assert await rows_of(session, job_id, until=fourth) == rows[1:]
                between = await rows_of(session, job_id, since=second, until=fourth)
                assert between == rows[1:4]
                nothing = await rows_of(session, job_id, since=fourth, until=second)
                assert nothing == []
                newest = await rows_of(session, job_id, until=fourth, limit=1)
                assert newest == rows[1:2]

    async def test_rows_outlive_their_job(self) -> None:
        """A deleted job's rows stay."""
        async with self.opened() as [session]:
            await session.transact(["job"], create())
            [change] = (await session.transact(["job"], claim("me"))).values()
            await session.transact(["job"], settle("me", change.starts[0].run.fence))
            before = await rows_of(session, "job")
            await session.transact(["job"], erase())
            assert await rows_of(session, "job") == before
            assert len(before) == 1

    async def test_a_hundred_rows_of_one_commit(self) -> None:
        """A whole batch's rows are found, each under its own job."""
        async with self.opened() as [session]:
            ids = ids_in(3, 100)
            await session.transact(ids, create())
            made = await session.transact(ids, _writing(0))
            found = await rows_of(session, limit=1_000)
            assert set(found) == {row for c in made.values() for row in c.rows}
            assert await rows_of(session, ids[50]) == list(made[ids[50]].rows)

    async def test_old_rows_go(self) -> None:
        """Rows older than the namespace's ledger age are let go of, in time."""
        async with self.opened(ledger_age=20_000) as [session]:
            await session.transact(["job"], create())
            for _ in range(200):
                await session.transact(["job"], _writing(3))
            await self.advance(0.05)
            [change] = (await session.transact(["job"], _writing(3))).values()
            found = await rows_of(session, "job", limit=1_000)
            assert found[0] == change.rows[0]
            # A store may trim in blocks, but it has to trim.
            assert len(found) < 201

    async def test_rows_of_another_time(self) -> None:
        """What a row says of slots does not decide where it stands."""
        async with self.opened() as [session]:
            await session.transact(["job"], create())
            for slot in (10**15, 5, 2 * 10**15):

                def decide(
                    records: Mapping[str, Record | None], now: int, slot: int = slot
                ) -> dict[str, Change]:
                    record = records["job"]
                    assert record is not None
                    row = Row("job", RowKind.MISSED, now, slot, slot, count=1)
                    row = replace(row, reason=Reason.GRACE)
                    return {"job": Change(rewritten(record, now), rows=(row,))}

                await session.transact(["job"], decide)
                await self.advance(0.001)
            slots = [row.slot for row in await rows_of(session, "job")]
            assert slots == [2 * 10**15, 5, 10**15]
