"""Processes without any order among them attack a few shards; a judge adds up.

The judge is shown to be one: the same programme without the WATCH does not
pass before it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aiosched import IntervalTrigger, Job, Retry, planning
from aiosched.abc import Session
from aiosched.enums import JobState, RowKind
from aiosched.errors import JobError
from aiosched.records import Change, Record, Row
from tests.crash.attacker import QUEUE, SHARDS, Attacker, opened
from tests.crash.kit import Fleet
from tests.servers import Server
from tests.waiting import wait_until

pytestmark = [pytest.mark.crash, pytest.mark.timeout(400)]

PROCESSES = 4
JOBS = 24
EVERY = timedelta(milliseconds=60)
OPTIONS = {"lease": 0.3, "terms": {"shards": SHARDS}}
RULES: list[dict[str, Any]] = [
    {"overlap": "skip"},
    {"overlap": "queue", "coalesce": "all"},
    {"overlap": "allow", "max_running": 3, "coalesce": "earliest"},
    {"overlap": "cancel_previous"},
    {"overlap": "skip", "on_lost": "record"},
    {"overlap": "queue", "retry": Retry(attempts=3, delay=0.05)},
]
OF_RUNS = {
    RowKind.SUCCEEDED,
    RowKind.FAILED,
    RowKind.TIMED_OUT,
    RowKind.CANCELLED,
    RowKind.LOST,
    RowKind.EXPIRED,
    RowKind.HANDED_BACK,
}
PASSED = (RowKind.SKIPPED, RowKind.MISSED, RowKind.EXCLUDED, RowKind.PAUSED)


async def test_an_adversarial_programme_adds_up(
    launch: Any, tmp_path: Path, seed: int, *, long_run: bool
) -> None:
    evidence = await programme(
        launch(), tmp_path, seed, 30.0 if long_run else 6.0, watched=True
    )
    assert evidence.trouble == []
    assert len(evidence.claims) > 500, "hardly an attack"
    assert any(row.kind is RowKind.LOST for row in evidence.rows)
    assert judged(evidence) == []


async def test_the_judge_catches_it_without_the_watch(
    launch: Any, tmp_path: Path, seed: int
) -> None:
    evidence = await programme(launch(), tmp_path, seed, 5.0, watched=False)
    wrong = judged(evidence)
    kinds = {problem.partition(":")[0] for problem in wrong}
    assert {"claimed twice", "ledger"} <= kinds, wrong[:10]


# --- the programme ----------------------------------------------------------------


@dataclass
class Evidence:
    """What is left when it is over."""

    records: dict[str, Record]
    entries: dict[str, int]
    rows: Sequence[Row]
    claims: list[tuple[str, str, int, int]]
    """(job id, key, attempt, fence) as its process was told."""
    closed: list[tuple[str, int]]
    trouble: list[str]


async def programme(
    server: Server, folder: Path, seed: int, seconds: float, *, watched: bool
) -> Evidence:
    chance = random.Random(seed)
    with Fleet(server.url, folder, options=OPTIONS) as fleet:
        ids = [f"job-{n}" for n in range(JOBS)]
        session = await opened(server.url, fleet.namespace)
        try:
            await _schedule(fleet, ids, seconds)
            for _ in range(PROCESSES):
                fleet.spawn(
                    "tests.crash.attacker",
                    ids=ids,
                    seed=chance.randrange(1 << 30),
                    seconds=seconds,
                    watched=watched,
                )
            await fleet.up()
            await asyncio.sleep(chance.uniform(0.3, 0.7) * seconds)
            victim = chance.choice(fleet.peers)
            victim.kill()
            for peer in fleet.peers:
                await wait_until(
                    lambda peer=peer: not peer.alive,  # type: ignore[misc]
                    "the end of the attack",
                    timeout=60 + seconds,
                    poll=0.05,
                )
            await _quiet(session, ids)
            return await _evidence(session, fleet, [victim.path])
        finally:
            await session.close()


async def _schedule(fleet: Fleet, ids: list[str], seconds: float) -> None:
    begin = datetime.now(UTC) + timedelta(seconds=1)
    jobs = []
    for number, job_id in enumerate(ids):
        end = begin + timedelta(seconds=seconds + 3)
        trigger = IntervalTrigger(
            milliseconds=EVERY // timedelta(milliseconds=1), start=begin, end=end
        )
        rule = RULES[number % len(RULES)]
        jobs.append(Job("anything", trigger=trigger, id=job_id, **rule))
    async with fleet.client() as client:
        await client.schedule_many(jobs, allow_unknown=True)


async def _quiet(session: Session, ids: list[str]) -> None:
    """Go on, in order now, until nothing is left to be done."""
    last = Attacker(session, random.Random(0), lambda *_: None)
    last.chance.random = lambda: 0.5  # type: ignore[method-assign] # forgets nothing
    for job_id in ids:
        await session.transact([job_id], _resumed)
    loop = asyncio.get_running_loop()
    end = loop.time() + 20
    while loop.time() < end:
        for shard in range(SHARDS):
            await last.attend(shard)
        while last.held:
            await last.settle()
        records = await session.read(ids)
        if all(r.state.status is JobState.FINISHED for r in records.values()):
            return
        await asyncio.sleep(0.02)


def _resumed(records: Any, now: int) -> dict[str, Change]:
    changes = {}
    for job_id, record in records.items():
        try:
            change = planning.resume(record, now) if record else None
        except JobError:
            change = None
        if change is not None:
            changes[job_id] = change
    return changes


async def _evidence(session: Session, fleet: Fleet, killed: list[Path]) -> Evidence:
    entries = {}
    for shard in range(SHARDS):
        (head,) = await session.agenda([(shard, QUEUE)], limit=10_000)
        entries.update(dict(head.entries))
    records = await session.read([f"job-{n}" for n in range(JOBS)])
    rows = await session.ledger(limit=1_000_000)
    claims = [
        (x.words[0], x.words[1], x.attempt, x.fence) for _, x in fleet.lines("claim")
    ]
    closed = [(x.words[0], x.words[1]) for _, x in fleet.lines("closed")]
    trouble = [
        peer.log()[-1000:]
        for peer in fleet.peers
        if peer.process.returncode and peer.path not in killed
    ]
    return Evidence(records, entries, rows, claims, closed, trouble)


# --- the judge ----------------------------------------------------------------------


def judged(evidence: Evidence) -> list[str]:
    """Return everything that does not add up."""
    wrong = [*_claims(evidence)]
    if len(evidence.records) < JOBS:
        wrong.append(f"records: {len(evidence.records)} of {JOBS} can be read")
    by_job: dict[str, list[Row]] = {job_id: [] for job_id in evidence.records}
    for row in evidence.rows:
        by_job.setdefault(row.job_id, []).append(row)
    for job_id, record in evidence.records.items():
        wrong += _record(job_id, record, evidence.entries.get(job_id))
        wrong += _ledger(job_id, record, by_job[job_id])
    strays = evidence.entries.keys() - evidence.records.keys()
    return wrong + [f"agenda: {stray} has no record" for stray in strays]


def _claims(evidence: Evidence) -> list[str]:
    """Nothing is claimed twice, and each claim has one end."""
    fences = Counter((job_id, fence) for job_id, _, _, fence in evidence.claims)
    attempts = Counter(claim[:3] for claim in evidence.claims)
    wrong = [f"claimed twice: {x}" for x, n in fences.items() if n > 1]
    wrong += [f"claimed twice: {x}" for x, n in attempts.items() if n > 1]
    ends = Counter((r.job_id, r.fence) for r in evidence.rows if r.kind in OF_RUNS)
    wrong += [f"ends: {x} has {ends[x]}" for x in fences if ends[x] != 1]
    lost = {(r.job_id, r.fence) for r in evidence.rows if r.kind is RowKind.LOST}
    return wrong + [f"ends: {x} closed and lost" for x in evidence.closed if x in lost]


def _record(job_id: str, record: Record, entry: int | None) -> list[str]:
    wrong = []
    state, definition = record.state, record.definition
    at = planning.instant(definition, state)
    if entry != at:
        wrong.append(f"agenda: {job_id} stands at {entry}, not {at}")
    trigger, counts = definition.spec.trigger, state.counts
    assert trigger is not None
    slots = state.former
    if state.since is not None and state.latest is not None:
        slots += trigger.count(state.since, state.latest, definition.anchor)
    if counts.slots != slots:
        wrong.append(f"slots: {job_id} counts {counts.slots} of {slots}")
    if state.runs or state.waiting or state.next is not None:
        wrong.append(f"open: {job_id} is not done")
    if counts.fired + counts.asked != counts.outcomes:
        wrong.append(f"outcomes: {job_id} has {counts}")
    return wrong


def _ledger(job_id: str, record: Record, rows: list[Row]) -> list[str]:
    """The ledger says what the counters say."""
    counts = record.state.counts
    said = {
        kind.value: sum(1 for row in rows if row.final and row.kind is kind)
        for kind in OF_RUNS - {RowKind.HANDED_BACK}
    }
    for kind in PASSED:
        said[kind.value] = sum(row.count for row in rows if row.kind is kind)
    wrong = [
        f"ledger: {job_id} has {number} {name}, not {getattr(counts, name)}"
        for name, number in said.items()
        if number != getattr(counts, name)
    ]
    keys = Counter(row.key for row in rows if row.final)
    twice = [key for key, number in keys.items() if number > 1]
    return wrong + [f"ledger: {job_id}/{key} ends again" for key in twice]
