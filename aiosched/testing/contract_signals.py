"""The store contract: signals."""

from __future__ import annotations

from collections.abc import Mapping

from aiosched.abc import Beat, Session, Signal
from aiosched.records import Change, Record
from aiosched.testing.contract_base import ContractBase
from aiosched.testing.contract_decisions import (
    claim,
    create,
    erase,
    ids_in,
    settle,
    touch,
)

__all__ = ["SignalsContract"]

FLOOD = 1_200


async def _revs(session: Session) -> dict[int, int]:
    pulse = await session.beat(Beat(None, "contract", (0, 1)))
    return dict(pulse.revs)


class SignalsContract(ContractBase):
    """Hints that tell of commits, to those who listen."""

    async def test_a_commit_is_heard(self) -> None:
        """With id, queue, instant and seq of each entry; None for none."""
        async with self.opened(2) as [one, two], self.ear(two, {0}) as ear:
            job_id = ids_in(0, 1, "größe|é")[0]
            made = await one.transact([job_id], create(7, queue="mail|ß"))
            signal = await ear.changed(job_id)
            assert (signal.kind, signal.shard) == ("changed", 0)
            record = made[job_id].record
            assert record is not None
            assert signal.entries == ((job_id, "mail|ß", 7, record.state.seq),)
            await one.transact([job_id], touch(None))
            assert (await ear.changed(job_id)).entries[0][2] is None
            await one.transact([job_id], touch(9))
            assert (await ear.changed(job_id)).entries[0][2] == 9
            await one.transact([job_id], erase())
            assert (await ear.changed(job_id)).entries[0][2] is None

    async def test_a_batch_is_heard(self) -> None:
        """All entries of one commit come, in one signal or in several."""
        async with self.opened(2) as [one, two], self.ear(two, {0}) as ear:
            ids = ids_in(0, 100)
            await one.transact(ids, create(1))
            found: set[str] = set()
            while found != set(ids):
                signal = await ear.until(lambda signal: bool(signal.entries))
                found.update(entry[0] for entry in signal.entries)

    async def test_the_order_of_commits(self) -> None:
        """One shard's signals come in the order of its commits."""
        async with self.opened(2) as [one, two], self.ear(two, {0}) as ear:
            [job_id] = ids_in(0, 1)
            await one.transact([job_id], create(0))
            for at in range(1, 30):
                await one.transact([job_id], touch(at))
            seqs: list[int] = []
            while len(seqs) < 30:
                seqs.append((await ear.changed(job_id)).entries[0][3])
            assert seqs == sorted(set(seqs))

    async def test_quiet_commits(self) -> None:
        """``signal=False`` is not heard, and does not move ``rev``."""
        async with self.opened(2) as [one, two], self.ear(two, {0}) as ear:
            quiet, loud = ids_in(0, 2)
            await one.transact([loud], create(1))
            before = await _revs(one)
            await one.transact([quiet], create(1), signal=False)
            await one.transact([quiet], claim("me"), claim=True, signal=False)
            await one.transact([quiet, loud], lambda _records, _now: {})
            assert await _revs(one) == before
            await one.transact([loud], touch(2))
            after = await _revs(one)
            assert after[0] > before[0]
            assert after[1] == before[1]
            for _ in range(2):
                await ear.changed(loud)
            assert quiet not in {
                entry[0] for signal in ear.heard for entry in signal.entries
            }

    async def test_rev_in_a_head(self) -> None:
        """A head and a pulse tell the same rev, for each queue alike."""
        async with self.opened() as [session]:
            for n, job_id in enumerate(ids_in(0, 5)):
                await session.transact([job_id], create(n))
                heads = await session.agenda([(0, "default"), (0, "x"), (1, "x")])
                revs = await _revs(session)
                assert [head.rev for head in heads] == [revs[0], revs[0], revs[1]]

    async def test_completions(self) -> None:
        """Final outcomes are told, quiet commit or not; others are not."""
        async with self.opened(2) as [one, two], self.ear(two, set(), {0}) as ear:
            retried, quiet, last = ids_in(0, 3)
            for job_id, final, signal in (
                (retried, False, True),
                (quiet, True, False),
                (last, True, True),
            ):
                await one.transact([job_id], create(1), signal=signal)
                [change] = (await one.transact([job_id], claim("me"))).values()
                fence = change.starts[0].run.fence
                await one.transact(
                    [job_id], settle("me", fence, final=final), signal=signal
                )
            await ear.until(lambda signal: last in signal.ids)
            done = [signal for signal in ear.heard if signal.kind == "done"]
            assert [(signal.shard, signal.ids) for signal in done] == [
                (0, (quiet,)),
                (0, (last,)),
            ]
            assert not [signal for signal in ear.heard if signal.kind == "changed"]

    async def test_only_what_is_watched(self) -> None:
        """Another shard is not heard; watching again replaces the choice."""
        async with self.opened(2) as [one, two], self.ear(two, {0}) as ear:
            first = ids_in(0, 3, "first")
            other = ids_in(1, 3, "other")
            await one.transact(other[:1], create(1))
            await one.transact(first[:1], create(1))
            await ear.changed(first[0])
            await ear.stream.watch(frozenset({1}), frozenset())
            await one.transact(first[1:2], create(1))
            await one.transact(other[1:2], create(1))
            await ear.changed(other[1])
            await ear.stream.watch(frozenset({0, 1}), frozenset({1}))
            await one.transact(first[2:], create(1))
            await one.transact(other[2:], create(1))
            await ear.changed(first[2])
            await ear.changed(other[2])
            heard = {entry[0] for signal in ear.heard for entry in signal.entries}
            assert heard == {first[0], other[1], first[2], other[2]}

    async def test_everybody_hears(self) -> None:
        """Two subscriptions, the writer's own among them, hear alike."""
        async with (
            self.opened(2) as [one, two],
            self.ear(one, {0}) as mine,
            self.ear(two, {0}) as theirs,
        ):
            [job_id] = ids_in(0, 1)
            await one.transact([job_id], create(3))
            assert await mine.changed(job_id) == await theirs.changed(job_id)

    async def test_the_canary(self) -> None:
        """A beat is heard by the peer that sent it."""
        async with self.opened() as [session], self.ear(session, set()) as ear:
            for member_id in ("0123456789abcdef", "fedcba9876543210"):
                await session.beat(Beat(None, member_id))
                signal = await ear.until(lambda signal: signal.kind == "canary")
                assert signal.ids == (member_id,)

    async def test_nothing_is_lost_in_silence(self) -> None:
        """Who does not read for long hears everything, or a resync."""
        async with self.opened(2) as [one, two], self.ear(two, {0}) as ear:
            [job_id] = ids_in(0, 1)
            await ear.shut()
            await one.transact([job_id], create(0))
            for at in range(FLOOD):
                await one.transact([job_id], touch(at))
            ear.open()
            await ear.until(
                lambda signal: any(entry[2] == FLOOD - 1 for entry in signal.entries)
            )
            resyncs = [signal for signal in ear.heard if signal.kind == "resync"]
            assert len(ear.heard) == FLOOD + 1 or resyncs

    async def test_a_reset(self) -> None:
        """A deaf connection that is given up is a gap, and is told as one.

        A store of several servers may tell of each: what is not heard then is
        told of by the resync of a server that was not back yet.
        """
        async with self.opened(2) as [one, two], self.ear(two, {0}) as ear:
            [job_id] = ids_in(0, 1)

            def told(signal: Signal) -> bool:
                return signal.kind == "resync" or any(
                    entry[0] == job_id for entry in signal.entries
                )

            for at in range(3):
                ear.stream.reset()
                await ear.until(lambda signal: signal.kind == "resync")
                await one.transact([job_id], create(at))
                await ear.until(told)
                await one.transact([job_id], erase(), signal=False)
            await ear.stream.watch(frozenset({0}), frozenset())
            await one.transact([job_id], create(9))
            await ear.changed(job_id)

    async def test_the_only_index(self) -> None:
        """Putting an entry right is heard as well, if it is to be."""
        async with self.opened(2) as [one, two], self.ear(two, {0}) as ear:
            [job_id] = ids_in(0, 1)
            await one.transact([job_id], create(1), signal=False)

            def decide(
                records: Mapping[str, Record | None], _: int
            ) -> dict[str, Change]:
                return {job_id: Change(records[job_id], 8, index_only=True)}

            await one.transact([job_id], decide)
            signal = await ear.changed(job_id)
            assert signal.entries[0][:3] == (job_id, "default", 8)

    async def test_a_subscription_ends_twice(self) -> None:
        """Closing is safe at any time, also before the first watch."""
        async with self.opened() as [session]:
            unused = session.signals()
            await unused.aclose()
            await unused.aclose()
            used = session.signals()
            await used.watch(frozenset({0}), frozenset({1}))
            await used.aclose()
            await used.aclose()
            await session.transact(["job"], create(1))
