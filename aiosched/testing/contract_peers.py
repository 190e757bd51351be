"""The store contract: opening, terms, members, executors, closing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from aiosched.abc import Beat, ExecutorInfo, Member, Pulse, Session, Terms
from aiosched.clock import random_id
from aiosched.errors import ConfigurationError, SchedulerStateError, StoreError
from aiosched.instants import SECOND
from aiosched.testing.contract_base import ContractBase, everything, subscribers
from aiosched.testing.contract_decisions import SHARDS, claim, create, firing, ids_in

__all__ = ["PeersContract"]

_PARAMETERS = (
    ("invoice_id", "positional_or_keyword", True),
    ("größe", "keyword_only", False),
    ("rest", "var_keyword", False),
)


def _member(member_id: str = "", **fields: Any) -> Member:
    given: dict[str, Any] = {
        "name": "büro|1\n",
        "queues": ("default", "mail|ß"),
        "executors": ("a.B", "ü"),
        "claims": True,
        **fields,
    }
    return Member(member_id or random_id(), **given)


def _as_sent(pulse: Pulse) -> list[Member]:
    """Return the members without the beat, which has to be about now."""
    assert all(abs(member.beat - pulse.now) < SECOND for member in pulse.members)
    return [replace(member, beat=0) for member in pulse.members]


class PeersContract(ContractBase):
    """What peers know of each other, and how they come and go."""

    # -- terms --------------------------------------------------------------------

    async def test_the_first_peer_sets_the_terms(self) -> None:
        """The others take them, or insist on the same."""
        store, namespace = await self.make_store(), f"contract-{random_id()}"
        first = await store.open(namespace, {"shards": 3, "lease": 9 * SECOND})
        second = await store.open(namespace, {})
        third = await store.open(namespace, {"lease": 9 * SECOND, "beat": Terms().beat})
        try:
            assert first.terms == Terms(shards=3, lease=9 * SECOND)
            assert second.terms == third.terms == first.terms
        finally:
            for session in (first, second, third):
                await session.close()
        # They are the namespace's, not the sessions'.
        later = await store.open(namespace, {})
        assert later.terms.lease == 9 * SECOND
        await later.close()

    async def test_other_terms_are_refused(self) -> None:
        """The error names the field; nothing changes."""
        store, namespace = await self.make_store(), f"contract-{random_id()}"
        async with self.sessions(store, namespace, beat=SECOND) as [session]:
            for field, value in (("shards", 5), ("beat", 2 * SECOND)):
                try:
                    await store.open(namespace, {field: value})
                except ConfigurationError as error:
                    assert error.field == field  # noqa: PT017 - no pytest here
                else:
                    message = f"{field}={value} was not refused"
                    raise AssertionError(message)
            again = await store.open(namespace, {})
            assert again.terms == session.terms == Terms(shards=SHARDS, beat=SECOND)
            await again.close()

    async def test_ten_opens_at_once(self) -> None:
        """They agree on terms and epoch."""
        store, namespace = await self.make_store(), f"contract-{random_id()}"
        sessions = await asyncio.gather(
            *(store.open(namespace, {"shards": SHARDS}) for _ in range(10))
        )
        try:
            pulses = await asyncio.gather(
                *(session.beat(Beat(None, "peer")) for session in sessions)
            )
            assert len({pulse.epoch for pulse in pulses}) == 1
            assert pulses[0].epoch
            assert len({session.terms for session in sessions}) == 1
        finally:
            for session in sessions:
                await session.close()

    async def test_ten_contradicting_opens_at_once(self) -> None:
        """One wish becomes the terms; the others are refused."""
        store, namespace = await self.make_store(), f"contract-{random_id()}"

        async def wish(seconds: int) -> Session | None:
            try:
                return await store.open(namespace, {"lease": seconds * SECOND})
            except ConfigurationError:
                return None

        opened = await asyncio.gather(*(wish(n) for n in range(10, 20)))
        sessions = [session for session in opened if session is not None]
        last = await store.open(namespace, {})
        try:
            assert len(sessions) == 1
            assert last.terms == sessions[0].terms
        finally:
            for session in (*sessions, last):
                await session.close()

    # -- members ------------------------------------------------------------------

    async def test_members(self) -> None:
        """Each beat makes its peer known as it is now; leaving takes it out."""
        async with self.opened(2) as [one, two]:
            first = _member("b" * 16, running=3, host="host|é", started=77)
            second = _member("a" * 16, queues=None, executors=(), claims=False)
            pulse = await one.beat(Beat(first, first.id))
            assert _as_sent(pulse) == [first]
            pulse = await two.beat(Beat(second, second.id))
            assert _as_sent(pulse) == [second, first]
            busy = replace(first, running=9, claims=False)
            pulse = await one.beat(Beat(busy, busy.id))
            assert _as_sent(pulse) == [second, busy]
            pulse = await one.beat(Beat(None, first.id))
            assert [member.id for member in pulse.members] == [second.id]
            await one.beat(Beat(None, first.id))
            await one.beat(Beat(None, "never seen"))

    async def test_the_member_timeout(self) -> None:
        """Who does not beat is no member, until it beats again."""
        async with self.opened(2, member_timeout=40_000) as [one, two]:
            silent, lively = _member(), _member()
            await one.beat(Beat(silent, silent.id))
            await self.advance(0.05)
            pulse = await two.beat(Beat(lively, lively.id))
            assert [member.id for member in pulse.members] == [lively.id]
            pulse = await one.beat(Beat(silent, silent.id))
            assert silent.id in {member.id for member in pulse.members}

    async def test_a_pulse(self) -> None:
        """It holds time, the revs asked for, the epoch and every queue."""
        async with self.opened(2) as [one, two]:
            for queue in ("b", "a", "ü|\n", "b"):
                await one.transact([f"job-{queue}"], create(1, queue=queue))
            await one.transact([f"job-{i}" for i in "b"], claim("me"))
            before = await two.now()
            pulse = await two.beat(Beat(None, "peer", (1, 3)))
            assert set(pulse.revs) == {1, 3}
            assert pulse.queues == ("a", "b", "ü|\n")
            assert before <= pulse.now <= await one.now()
            again = await one.beat(Beat(None, "other"))
            assert dict(again.revs) == {}
            assert again.epoch == pulse.epoch

    # -- executors ----------------------------------------------------------------

    async def test_the_catalogue(self) -> None:
        """What a peer advertises is known to all; the latest word counts."""
        async with self.opened(2) as [one, two]:
            assert await one.catalogue() == {}
            before = await one.now()
            await one.advertise([])
            await one.advertise(
                [
                    ExecutorInfo("mail.Send|ü", _PARAMETERS, "mail|ß"),
                    ExecutorInfo("noop", ()),
                ]
            )
            found = await two.catalogue()
            assert set(found) == {"mail.Send|ü", "noop"}
            info = found["mail.Send|ü"]
            assert before <= info.seen <= await two.now()
            assert info == ExecutorInfo("mail.Send|ü", _PARAMETERS, "mail|ß", info.seen)
            await two.advertise([ExecutorInfo("noop", _PARAMETERS[:1], "other")])
            renewed = (await one.catalogue())["noop"]
            assert (renewed.parameters, renewed.queue) == (_PARAMETERS[:1], "other")

    # -- closing ------------------------------------------------------------------

    async def test_data_outlives_sessions(self) -> None:
        """A namespace is as it was when somebody opens it again."""
        store, namespace = await self.make_store(), f"contract-{random_id()}"
        async with self.sessions(store, namespace) as [session]:
            await session.transact(["job"], create(1, keyword="k"))
            pulse = await session.beat(Beat(None, "peer"))
        async with self.sessions(store, namespace) as [session]:
            assert set(await session.read(["job"])) == {"job"}
            assert await subscribers(session, "k") == ["job"]
            assert (await session.beat(Beat(None, "peer"))).epoch == pulse.epoch

    async def test_closing_twice(self) -> None:
        """Is safe, with a subscription open and without; others go on."""
        async with self.opened(2) as [one, two]:
            stream = one.signals()
            await stream.watch(frozenset({0}), frozenset())
            await one.close()
            await one.close()
            await stream.aclose()
            assert await two.transact(["job"], create(1))

    async def test_use_after_close(self) -> None:
        """Every verb refuses, by an error of aiosched's own."""
        async with self.opened() as [session]:
            await session.close()
            verbs: list[Callable[[], Awaitable[object]]] = [
                lambda: session.transact(["job"], create(1)),
                lambda: session.read(["job"]),
                lambda: session.list(),
                lambda: session.agenda([(0, "default")]),
                lambda: session.by_keyword("k"),
                lambda: session.ledger(),
                lambda: session.beat(Beat(None, "peer")),
                lambda: session.advertise([ExecutorInfo("x", ())]),
                lambda: session.catalogue(),
                lambda: session.now(),
                lambda: session.sweep(),
                lambda: session.signals().watch(frozenset({0}), frozenset()),
            ]
            for number, verb in enumerate(verbs):
                try:
                    await verb()
                except (StoreError, SchedulerStateError):
                    continue
                message = f"verb {number} works on a closed session"
                raise AssertionError(message)

    async def test_sweeping_takes_nothing_in_use(self) -> None:
        """Records, specs, large arguments and rows survive the sweeper."""
        async with self.opened(2) as [one, two]:
            ids = ids_in(0, 10)
            await one.transact(ids, create(1, keyword="k", tags=("x" * 50,)))
            before = await everything(one)
            for session in (one, two, one):
                assert await session.sweep() >= 0
            assert await everything(two) == before
            made = await two.transact(ids, claim("me"), claim=True)
            assert len(made) == len(ids)
            assert all(
                change.starts[0].run.firing.cause is firing("", 0).cause
                for change in made.values()
            )
