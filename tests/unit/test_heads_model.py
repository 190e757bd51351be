"""Whatever happens to agendas, nothing that can be acted on stands in no heap."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from aiosched._engine.heads import Due, Heads, Key
from aiosched.abc import Head
from aiosched.records import Change, Definition, Record, Spec, State

STEPS = 200
SPEC = Spec("work")


class Rounds:
    """One peer's agendas, and what a timer and an attender do with them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.heads = Heads(self.chance.choice((0, 3)))
        self.keys: list[Key] = [
            (shard, queue)
            for shard in range(self.chance.choice((1, 2, 12)))
            for queue in ("a", "b")
        ]
        self.stored: dict[Key, dict[str, int]] = {key: {} for key in self.keys}
        self.readings: list[list[Head]] = []
        self.attended: dict[int, list[Due]] = {}
        self.leases: set[Due] = set()
        self.now, self.seq = 100, 0
        self.assign()

    def step(self) -> str:
        """Let something happen; return what."""
        self.now += self.chance.randint(0, 3)
        name = self.chance.choice(
            (
                *("news", "news", "news", "dispatch", "dispatch", "answer", "answer"),
                *("ask", "load", "assign", "turn", "forget_turns", "forget", "doubt"),
            )
        )
        getattr(self, name)()
        return name

    def _job(self) -> tuple[Key, str]:
        key = self.chance.choice(self.keys)
        return key, f"{key[0]}-{self.chance.randint(0, 5)}"

    def news(self) -> None:
        key, job = self._job()
        self.seq += 1
        at = self.chance.choice((None, self.now - 3, self.now, self.now + 5))
        if at is None:
            self.stored[key].pop(job, None)
        else:
            self.stored[key][job] = at
        seq = self.chance.choice((0, self.seq, self.seq, max(1, self.seq - 3)))
        self.heads.update(key, job, at, seq)

    def ask(self) -> None:
        keys = self.heads.stale()
        self.heads.asking(keys)
        found = []
        for shard, queue in keys:
            entries = sorted(self.stored[shard, queue].items(), key=lambda one: one[1])
            whole = len(entries) <= 4
            found.append(Head(shard, queue, tuple(entries[:4]), complete=whole, rev=1))
        self.readings.append(found)

    def load(self) -> None:
        for reading in self.readings.pop(0) if self.readings else ():
            self.heads.load(reading, self.now)
            key = (reading.shard, reading.queue)
            self.leases = {one for one in self.leases if one.key != key}

    def dispatch(self) -> None:
        for due in self.heads.pop_due(self.now, self.chance.randint(1, 6)):
            assert due.key[0] not in self.heads._held, "of a shard that is attended"
            batch = self.attended.get(due.key[0], [])
            if any(one.job_id == due.job_id for one in batch):
                self.heads.again(due, self.now)
            elif self.chance.random() < 0.1:
                self.leases.add(due)  # the end of an own lease: nothing to do
            elif not self.heads.confirmed(due):
                self.heads.invalidate([due.key])
                self.heads.again(due, self.now)
            else:
                self.attended.setdefault(due.key[0], []).append(due)
        for shard in self.attended:
            self.heads.hold([shard])

    def answer(self) -> None:
        if not self.attended:
            return
        shard = self.chance.choice(list(self.attended))
        for due in self.attended.pop(shard):
            self._after(due)
        self.heads.release([shard])

    def _after(self, due: Due) -> None:
        heads, key, job = self.heads, due.key, due.job_id
        what = self.chance.choice(
            ("moved", "left", "late", "idle", "until", "gone", "other", "starved")
        )
        if what in ("moved", "left"):
            self.seq += 1
            at = due.at if what == "left" else self.now + 5
            self.stored[key][job] = at
            heads.attended(due, self._change(job, self.seq, at))
        elif what == "late":
            change = self._change(job, max(1, self.seq - 5), self.now + 5)
            heads.attended(due, change)
        elif what == "idle":
            heads.ignore(key, job, due.at)
        elif what == "until":
            heads.ignore(key, job, due.at, self.now + 3)
        elif what == "gone":
            self.stored[key].pop(job, None)
            heads.update(key, job, None)
        elif what == "other":
            heads.invalidate([key])
        else:
            heads.again(due, due.at)

    def _change(self, job: str, seq: int, at: int) -> Change:
        return Change(Record(Definition(job, SPEC, None), State(seq, 0)), at)

    def assign(self) -> None:
        self.heads.assign(
            {
                k: self.chance.randint(0, 2)
                for k in self.keys
                if self.chance.random() < 0.9
            }
        )

    def turn(self) -> None:
        key, job = self._job()
        self.heads.set_turn(key, job, self.chance.randint(0, 3))

    def forget_turns(self) -> None:
        self.heads.forget_turns()

    def forget(self) -> None:
        self.heads.forget()

    def doubt(self) -> None:
        self.heads.invalidate([self._job()[0]])

    # -- what must hold -----------------------------------------------------------

    def stranded(self) -> Iterator[str]:
        """Name what can be acted on and that nothing will have looked at."""
        heads = self.heads
        away = {one for batch in self.attended.values() for one in batch} | self.leases
        firsts: list[int] = []
        for key, head in heads._heads.items():
            if key[0] in heads._held:
                continue
            first = head.first()
            if first is not None:
                firsts.append(first)
                if head.lined_up is None or head.lined_up > first:
                    yield f"{key} is not lined up at {first}"
            if key in heads._stale or head.moved is not None:
                continue  # it is read before it is acted on
            lined_up = {
                (job, at) for when, job, at in head.heap if head.valid(when, job, at)
            }
            for job, at in head.entries.items():
                if head.when(job, at, 0) is None or Due(key, job, at) in away:
                    continue
                if (job, at) not in lined_up:
                    yield f"{job} of {key} at {at}, passed over: {head.passed.get(job)}"
        if heads.next_instant() != min(firsts, default=None):
            yield f"next is {heads.next_instant()}, not {min(firsts, default=None)}"


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_nothing_is_stranded(first: int) -> None:
    for seed in range(first, first + 50):
        rounds = Rounds(seed)
        for number in range(STEPS):
            name = rounds.step()
            assert list(rounds.stranded()) == [], f"seed {seed}, step {number}: {name}"
