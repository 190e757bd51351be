"""The store contract: the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from aiosched.abc import Decide, Session
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


def _flood(count: int) -> Decide:
    """Append rows of one microsecond to each job, each to be told from the others."""

    def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
        changes: dict[str, Change] = {}
        for job_id, record in records.items():
            assert record is not None
            new = rewritten(record, now)
            rows = tuple(
                Row(job_id, RowKind.MISSED, now, n, n, 1, fence=new.state.seq)
                for n in range(count)
            )
            changes[job_id] = Change(new, 1, rows=rows)
        return changes

    return decide


async def _read_on(
    session: Session, job_id: str | None, size: int, **bounds: int | None
) -> AsyncIterator[Row]:
    """Yield the rows page by page."""
    cursor: str | None = None
    while True:
        page = await session.ledger(job_id, limit=size, cursor=cursor, **bounds)
        assert len(page) == len(page.cursors) <= size
        for row in page:
            yield row
        if page.complete:
            return
        assert len(page) == size
        cursor = page.cursors[-1]


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

    async def test_pages_lose_and_double_nothing(self) -> None:
        """Whatever their size, and however many rows share a microsecond."""
        async with self.opened() as [session]:
            ids = [*ids_in(3, 2), *ids_in(1, 1)]
            for job_id in ids:
                await session.transact([job_id], create())
            for n in range(6):
                await session.transact([ids[n % 3]], _flood(9 + n))
                await session.transact(ids[:2], _flood(5))
            for one in (None, *ids):
                whole = await session.ledger(one, limit=1_000)
                assert whole.complete
                assert len(set(whole)) == len(whole)
                for size in (1, 2, 7, 64, len(whole) - 1, len(whole)):
                    read = [row async for row in _read_on(session, one, size)]
                    assert read == list(whole), size
                # The cursor of any row leads behind just that row.
                for n in (0, len(whole) // 2, len(whole) - 1):
                    rest = await session.ledger(
                        one, limit=1_000, cursor=whole.cursors[n]
                    )
                    assert list(rest) == list(whole[n + 1 :])

    async def test_pages_over_many_commits(self) -> None:
        """Each page says truly whether there is more, also at round numbers."""
        async with self.opened() as [session]:
            await session.transact(["job"], create())
            for _ in range(230):
                await session.transact(["job"], _flood(1))
            whole = await session.ledger("job", limit=1_000)
            assert len(whole) == 230
            for one in ("job", None):
                for size in (99, 100, 101, 200, 229, 230, 231):
                    page = await session.ledger(one, limit=size)
                    assert list(page) == list(whole[:size])
                    assert page.complete is (size >= 230), size
                    read = [row async for row in _read_on(session, one, size)]
                    assert read == list(whole)

    async def test_pages_of_a_span_of_time(self) -> None:
        """Cursors and bounds go together; a cursor serves other arguments too."""
        async with self.opened() as [session]:
            await session.transact(["job"], create())
            for _ in range(5):
                await self.advance(0.002)
                await session.transact(["job"], _flood(4))
            whole = await session.ledger("job", limit=100)
            span = {"since": whole[-5].at, "until": whole[4].at}
            wanted = [r for r in whole if span["since"] <= r.at <= span["until"]]
            assert 8 <= len(wanted) < len(whole)
            for size in (1, 3, 100):
                pages = _read_on(session, "job", size, **span)
                assert [row async for row in pages] == wanted
            for number, left in ((0, 100), (9, 2)):
                rest = await session.ledger(
                    None,
                    limit=left,
                    cursor=whole.cursors[number],
                    until=span["until"],
                )
                behind = whole[number + 1 :]
                assert list(rest) == [r for r in behind if r.at <= span["until"]][:left]

    async def test_pages_while_rows_are_added(self) -> None:
        """What is written between two pages neither shows nor shifts them."""
        async with self.opened(2) as [one, two]:
            ids = [*ids_in(2, 2), *ids_in(0, 1)]
            for job_id in ids:
                await one.transact([job_id], create())
                await one.transact([job_id], _flood(20))
            for of in (None, ids[0]):
                before = list(await one.ledger(of, limit=1_000))
                read: list[Row] = []
                async for row in _read_on(one, of, 7):
                    read.append(row)
                    if len(read) % 5 == 0:
                        await two.transact([ids[len(read) % 3]], _flood(3))
                assert read == before

    async def test_a_cursor_of_nobody_is_refused(self) -> None:
        """Text that no page gave raises ValueError, and nothing else."""
        async with self.opened() as [session]:
            await session.transact(["job"], create())
            await session.transact(["job"], _flood(3))
            for cursor in ("", "x", "1:2", "-", "1-x"):
                try:
                    await session.ledger("job", cursor=cursor)
                except ValueError:
                    continue
                raise AssertionError(f"{cursor!r} was taken for a cursor")
