"""Every store in step with a dict: random programmes of real decisions.

Each rule lets the store and the model decide the same, and compares what was
answered, the records, agendas, listings, keywords, ledger and change counters.
Decisions are given the machine's instants in place of the store's, which go on
by themselves: a programme does the same each time, on a server too.  That the
store's own instants never go back is checked beside.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from aiosched import planning
from aiosched.abc import Beat, JobStore, Session, shard_of
from aiosched.clock import random_id
from aiosched.enums import OnConflict, OnLost, Outcome, Overlap, Reason
from aiosched.errors import JobError
from aiosched.records import (
    Change,
    Definition,
    Ended,
    Record,
    RetryRule,
    Row,
    Spec,
)
from aiosched.stores import open_store
from aiosched.stores.memory import MemoryJobStore
from aiosched.testing.contract_decisions import ids_in
from aiosched.triggers.interval import IntervalTrigger

SHARDS = 2
IDS = [*ids_in(0, 3, "größe|", SHARDS), *ids_in(1, 3, "job", SHARDS)]
OWNERS = ["a" * 16, "b" * 16]
QUEUES = ["default", "mail|ß"]
WORDS = ["paid", "bezahlt|ß"]
LEASE = 15_000_000
BEGIN = 4_100_000_000_000_000  # in 2099, so that no ledger is too old
LARGE = b'[["' + b"x" * 3_000 + b'"],{}]'

Verb = Callable[[Mapping[str, Record | None], int], dict[str, Change]]
Verb1 = Callable[[Record, int], Change | None]


class DictModel:
    """What a store is, without any of its troubles."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.at: dict[str, int] = {}
        self.rows: list[Row] = []
        self.queues: set[str] = set()

    def copy(self) -> DictModel:
        twin = DictModel()
        twin.records, twin.at = dict(self.records), dict(self.at)
        twin.rows, twin.queues = list(self.rows), set(self.queues)
        return twin

    def found(self, ids: list[str]) -> dict[str, Record | None]:
        return {job_id: self.records.get(job_id) for job_id in ids}

    def apply(self, changes: Mapping[str, Change]) -> None:
        for job_id, change in changes.items():
            if change.record is None:
                self.records.pop(job_id, None)
            elif not change.index_only:
                self.records[job_id] = change.record
                self.queues.add(change.record.definition.spec.queue)
            self.at.pop(job_id, None)
            if change.at is not None and job_id in self.records:
                self.at[job_id] = change.at
            self.rows += change.rows

    def agenda(self, shard: int, queue: str) -> dict[str, int]:
        return {
            job_id: at
            for job_id, at in self.at.items()
            if shard_of(job_id, SHARDS) == shard
            and self.records[job_id].definition.spec.queue == queue
        }

    def subscribers(self, keyword: str) -> list[str]:
        return sorted(
            job_id
            for job_id, record in self.records.items()
            if record.definition.spec.keyword == keyword
        )


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    """Jobs of all three kinds, with some of each policy."""
    kind = draw(st.sampled_from(["once", "interval", "interval", "keyword"]))
    interval = IntervalTrigger(seconds=draw(st.sampled_from([1, 5, 60])))
    spec = Spec(
        "contract.work",
        interval.rule() if kind == "interval" else None,
        draw(st.sampled_from(WORDS)) if kind == "keyword" else None,
        draw(st.sampled_from(QUEUES)),
        max_runs=draw(st.sampled_from([None, None, 2])),
        misfire_grace=draw(st.sampled_from([None, 0, 3_000_000])),
        overlap=draw(st.sampled_from(list(Overlap))),
        max_running=draw(st.sampled_from([1, 2])),
        retry=draw(st.sampled_from([None, RetryRule(3, 2_000_000)])),
        on_lost=draw(st.sampled_from(list(OnLost))),
        keep=draw(st.sampled_from([0, 10_000_000])),
    )
    arguments = draw(st.sampled_from([b"", b'[[],{"n":7}]', LARGE]))
    return Definition(draw(st.sampled_from(IDS)), spec, arguments=arguments)


def for_each(verb: Verb1) -> Verb:
    """Decide about every record that there is."""

    def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
        decided = {i: verb(r, now) for i, r in records.items() if r is not None}
        return {i: change for i, change in decided.items() if change is not None}

    return decide


def looking(owner: str, capacity: int) -> Verb:
    """Attend; what cannot be acted on gets its agenda entry put right."""

    def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
        changes: dict[str, Change] = {}
        room = capacity  # counted inside one call, as it may be called again
        for job_id, record in records.items():
            if record is None:
                changes[job_id] = Change(None)
                continue
            definition, state = record.definition, record.state
            change = planning.attend(definition, state, now, room, owner, LEASE)
            if change is None:
                at = planning.instant(definition, state)
                change = Change(record, at, index_only=True)
            room -= len(change.starts)
            changes[job_id] = change
        return changes

    return decide


class Call:
    """One transaction on the store, which the model then follows."""

    def __init__(
        self,
        ids: list[str],
        verb: Verb,
        now: int,
        *,
        claim: bool = False,
        signal: bool = True,
    ) -> None:
        self.ids, self.claim, self.signal = ids, claim, signal
        self.changes: dict[str, Change] = {}
        self.refusal = ""
        self.told: list[int] = []
        self._verb, self._now = verb, now

    def _decide(
        self, records: Mapping[str, Record | None], now: int
    ) -> dict[str, Change]:
        self.told.append(now)
        return self._verb(records, self._now)

    async def on(self, session: Session) -> None:
        try:
            self.changes = await session.transact(
                self.ids, self._decide, claim=self.claim, signal=self.signal
            )
        except JobError as error:
            self.refusal = str(error)

    def agrees(self, model: DictModel) -> bool:
        """Decide the same on the model, and tell whether the answers agree."""
        changes: dict[str, Change] = {}
        refusal = ""
        try:
            changes = self._verb(model.found(self.ids), self._now)
        except JobError as error:
            refusal = str(error)
        model.apply(changes)
        return refusal == self.refusal and {
            job_id: (c.at, c.rows, c.starts, c.answer) for job_id, c in changes.items()
        } == {
            job_id: (c.at, c.rows, c.starts, c.answer)
            for job_id, c in self.changes.items()
        }


class StoreMachine(RuleBasedStateMachine):
    """Drives one store, through two sessions, and the model."""

    def __init__(self, make: Callable[[], JobStore]) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.model = DictModel()
        self.now = BEGIN
        self.told = 0
        self.claims: list[tuple[str, str, int]] = []
        self.fires = 0
        self.revs = dict.fromkeys(range(SHARDS), 0)
        store, namespace = make(), f"model-{random_id()}"
        terms = {"shards": SHARDS}
        self.sessions = [
            self.loop.run_until_complete(store.open(namespace, terms)) for _ in range(2)
        ]
        self.turn = 0

    def teardown(self) -> None:
        for session in self.sessions:
            self.loop.run_until_complete(session.close())
        self.loop.close()

    # -- in step --------------------------------------------------------------------

    def step(
        self, ids: list[str], verb: Verb, *, claim: bool = False, signal: bool = True
    ) -> dict[str, Change]:
        """Let both decide, compare the answers, and keep the model's."""
        call = Call(ids, verb, self._tick(), claim=claim, signal=signal)
        self.turn += 1
        self.loop.run_until_complete(call.on(self.sessions[self.turn % 2]))
        assert call.agrees(self.model)
        self._after([call])
        return call.changes

    def _tick(self) -> int:
        self.now += 1_000
        return self.now

    def _after(self, calls: list[Call]) -> None:
        """Keep what became of calls that the model has followed."""
        for call in calls:
            assert min(call.told) >= self.told
            assert call.told == sorted(call.told)
        self.told = max(now for call in calls for now in call.told)
        loud = {
            shard_of(call.ids[0], SHARDS)
            for call in calls
            if call.signal and call.changes
        }
        pulse = self.loop.run_until_complete(
            self.sessions[0].beat(Beat(None, "model", tuple(range(SHARDS))))
        )
        moved = {n for n, before in self.revs.items() if pulse.revs[n] > before}
        assert moved == loud
        self.revs = dict(pulse.revs)
        assert pulse.queues == tuple(sorted(self.model.queues))
        for change in (c for call in calls for c in call.changes.values()):
            for start in change.starts:
                run = start.run
                self.claims.append((start.definition.id, run.owner, run.fence))

    # -- rules ----------------------------------------------------------------------

    @initialize(
        kinds=st.lists(definitions(), min_size=len(IDS), max_size=len(IDS)),
    )
    def begin(self, kinds: list[Definition]) -> None:
        """Begin with a job for each id, so that programmes meet something."""
        for job_id, kind in zip(IDS, kinds, strict=True):
            definition = replace(kind, id=job_id)
            self.schedule(
                definition=definition, on_conflict=OnConflict.RAISE, paused=False
            )

    @rule(
        definition=definitions(),
        on_conflict=st.sampled_from([OnConflict.REPLACE, *OnConflict]),
        paused=st.sampled_from([False, False, True]),
    )
    def schedule(
        self, *, definition: Definition, on_conflict: OnConflict, paused: bool
    ) -> None:
        def verb(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
            change = planning.schedule(
                definition,
                records[definition.id],
                now,
                on_conflict=on_conflict,
                paused=paused,
            )
            return {} if change is None else {definition.id: change}

        self.step([definition.id], verb)

    @rule(
        shard=st.integers(0, SHARDS - 1),
        owner=st.sampled_from(OWNERS),
        capacity=st.sampled_from([0, 2, 100, 100]),
        seconds=st.sampled_from([0.0, 0.5, 1.0, 1.0, 5.0, 20.0]),
        settled=st.sampled_from([0, 0, 1, 100]),
    )
    def look(
        self, *, shard: int, owner: str, capacity: int, seconds: float, settled: int
    ) -> None:
        """Attend a whole shard, later, and end some of what starts."""
        self.now += int(seconds * 1_000_000)

        ids = [job_id for job_id in IDS if shard_of(job_id, SHARDS) == shard]
        made = self.step(ids, looking(owner, capacity), claim=True, signal=False)
        started = [start for change in made.values() for start in change.starts]
        for start in started[:settled]:
            claim = (start.definition.id, start.run.owner, start.run.fence)
            assert self._end(claim, Ended(Outcome.SUCCEEDED, value=b'"done"'))

    def _end(self, claim: tuple[str, str, int], ended: Ended) -> dict[str, Change]:
        job_id, owner, fence = claim

        def verb(record: Record, now: int) -> Change | None:
            definition, state = record.definition, record.state
            return planning.settle(definition, state, owner, fence, ended, now)

        return self.step([job_id], for_each(verb), signal=False)

    @rule(
        which=st.integers(0, 1_000),
        outcome=st.sampled_from(
            [*[Outcome.SUCCEEDED] * 3, Outcome.FAILED, Outcome.TIMED_OUT, None]
        ),
        stale=st.sampled_from([False, False, False, True]),
    )
    def settle(self, *, which: int, outcome: Outcome | None, stale: bool) -> None:
        """End a claim, however old; or a fence that was never given out."""
        if not self.claims:  # no precondition: it would depend on who won a race
            return
        recent = self.claims if which % 5 == 0 else self.claims[-3:]
        job_id, owner, fence = recent[which % len(recent)]
        if stale:
            owner = OWNERS[OWNERS.index(owner) - 1]
        if outcome is None:
            ended = Ended(Outcome.CANCELLED, Reason.SHUTDOWN)
        else:
            ended = Ended(outcome, value=b'{"a":"|%"}', error=("KeyError",))
        made = self._end((job_id, owner, fence), ended)
        assert not (stale and made)

    @rule(which=st.integers(0, 1_000))
    def extend(self, which: int) -> None:
        if not self.claims:
            return
        recent = self.claims[-3:]
        job_id, owner, fence = recent[which % len(recent)]

        def verb(record: Record, now: int) -> Change | None:
            definition, state = record.definition, record.state
            return planning.extend(definition, state, owner, {fence}, now, LEASE)

        self.step([job_id], for_each(verb), signal=False)

    @rule(
        word=st.sampled_from(WORDS),
        payload=st.sampled_from([b"", b'{"n":1}', LARGE]),
        ttl=st.sampled_from([None, 5_000_000]),
        again=st.booleans(),
    )
    def fire(self, *, word: str, payload: bytes, ttl: int | None, again: bool) -> None:
        """Reach every subscriber, with a fire id of old or a new one."""
        if not (again and self.fires):
            self.fires += 1
        fire_id = f"fire-{self.fires}"

        def verb(record: Record, now: int) -> Change | None:
            expires = None if ttl is None else now + ttl
            return planning.fire(record, now, fire_id, payload, expires=expires)

        for job_id in self.loop.run_until_complete(self.sessions[0].by_keyword(word)):
            self.step([job_id], for_each(verb))

    @rule(
        job_id=st.sampled_from(IDS),
        name=st.sampled_from(["pause", "resume", "stop", "start", "remove"]),
    )
    def verb(self, job_id: str, name: str) -> None:
        """Call one of the users' verbs."""
        self.step([job_id], self._named(job_id, name))

    def _named(self, job_id: str, name: str) -> Verb:
        self.fires += 1
        start_id = f"start-{self.fires}"
        verbs: dict[str, Verb1] = {
            "pause": planning.pause,
            "resume": planning.resume,
            "stop": planning.stop,
            "start": lambda record, now: planning.start(record, now, start_id),
            "remove": planning.remove,
        }

        def decide(record: Record, now: int) -> Change | None:
            return verbs[name](planning.living(record, job_id), now)

        return for_each(decide)

    @rule(
        shard=st.integers(0, SHARDS - 1),
        which=st.integers(0, 2),
        name=st.sampled_from(["pause", "resume", "stop", "start", "remove"]),
    )
    def two_at_once(self, *, shard: int, which: int, name: str) -> None:
        """Two peers write at the same time, as if one came after the other."""
        ids = [job_id for job_id in IDS if shard_of(job_id, SHARDS) == shard]
        job_id = ids[which]
        now = self._tick()
        look = Call(ids, looking(OWNERS[0], 100), now)
        verb = Call([job_id], self._named(job_id, name), now)

        async def both() -> None:
            one, two = self.sessions
            await asyncio.gather(look.on(one), verb.on(two))

        self.loop.run_until_complete(both())
        stored = self.loop.run_until_complete(self.sessions[0].read(IDS))
        for calls in ([look, verb], [verb, look]):
            model = self.model.copy()
            agree = [call.agrees(model) for call in calls]
            if all(agree) and model.records == stored:
                self.model = model
                break
        else:
            raise AssertionError("it is as after neither order of the two")
        self._after([look, verb])

    @rule(job_id=st.sampled_from(IDS), at=st.sampled_from([None, 1, 10**15]))
    def misplace(self, job_id: str, at: int | None) -> None:
        """Damage an agenda entry; only the index changes."""
        self.step([job_id], for_each(lambda r, _: Change(r, at, index_only=True)))

    # -- invariants -------------------------------------------------------------------

    @invariant()
    def is_the_same(self) -> None:
        model, session = self.model, self.sessions[(self.turn + 1) % 2]
        assert self.loop.run_until_complete(session.read(IDS)) == model.records
        heads = [(shard, queue) for shard in range(SHARDS) for queue in QUEUES]
        for head in self.loop.run_until_complete(session.agenda(heads)):
            assert dict(head.entries) == model.agenda(head.shard, head.queue)
            instants = [at for _, at in head.entries]
            assert instants == sorted(instants)
            assert head.complete
            assert head.rev == self.revs[head.shard]
        for word in WORDS:
            found = self.loop.run_until_complete(session.by_keyword(word))
            assert list(found) == model.subscribers(word)
        page = self.loop.run_until_complete(session.list(limit=100))
        listed = {record.definition.id: record for record in page.records}
        if page.cursor is None:
            assert listed == model.records
        rows = self.loop.run_until_complete(session.ledger(limit=10_000))
        assert Counter(rows) == Counter(model.rows)
        assert [row.at for row in rows] == sorted((r.at for r in rows), reverse=True)


def _settings(examples: int, *, shrink: bool = True) -> Any:
    # On a server a failure is told as it was found: shrinking takes minutes.
    phases = [Phase.generate, *([Phase.shrink] if shrink else [])]
    return settings(
        phases=phases,
        max_examples=examples,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )


def test_the_memory_store_is_a_dict() -> None:
    run_state_machine_as_test(
        partial(StoreMachine, MemoryJobStore), settings=_settings(80)
    )


@pytest.mark.timeout(120)
def test_the_redis_store_is_a_dict(redis_url: str) -> None:
    run_state_machine_as_test(
        partial(StoreMachine, lambda: open_store(redis_url)),
        settings=_settings(20, shrink=False),
    )
