"""Why something ran, ran late, or did not run."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from aiosched._api.base import Base, job_id_of
from aiosched._api.options import instant_of
from aiosched.abc import Session
from aiosched.instants import SECOND
from aiosched.jobs import Job
from aiosched.planning.reasons import decided, explain, fences_told, nearest_slots
from aiosched.planning.wording import Evidence
from aiosched.records import Record, Row
from aiosched.rows import unpack_row

__all__ = ["Explaining", "Explanation"]

_BEFORE = 200
"""Rows read of the time before the instant that is asked about."""

_AFTER = 2_000
"""Rows read of each of the spans behind it."""

_SPANS = (120 * SECOND, 7_200 * SECOND, 172_800 * SECOND)
"""How far behind a slot its row is looked for, step by step; then up to now."""


class Explanation(str):
    """A sentence.

    Attributes:
        known: Whether anything was known; False for a job of which there is no
            trace, and for a slot of which the ledger has nothing any more.
    """

    __slots__ = ("known",)
    known: bool

    def __new__(cls, text: str, *, known: bool = True) -> Self:
        """Hold a sentence."""
        sentence = super().__new__(cls, text)
        sentence.known = known
        return sentence


class Explaining(Base):
    """Why something ran, ran late, or did not run."""

    async def why(self, job: Job | str, instant: datetime) -> Explanation:
        """Say in one sentence what became of a slot or a run, and why.

        It ran, on time or so late, for this or that reason; it runs, waits,
        will run; it was skipped, missed, excluded, passed over while the job
        was paused, and by whom; there was no such slot, or no such job.

        Reads the job's record and its ledger around the instant: at most some
        thousand rows.  Nothing is written.

        Args:
            job: Which one; it need not exist any more.
            instant: An aware datetime: a slot, or when a run was asked for by
                hand or keyword.  Where it is neither, a run that was under way
                then is explained, or else the nearest slot.

        Returns:
            The sentence, a ``str``; its attribute ``known`` is False where
            there was nothing to go by.

        Raises:
            ConfigurationError: ``instant`` is no aware datetime.
        """
        job_id, at = job_id_of(job), instant_of("instant", instant)
        session = self._opened()
        record = (await session.read([job_id])).get(job_id)
        evidence = await self._evidence(job_id, at, record)
        found = explain(evidence, at)
        return Explanation(found.text, known=found.known)

    async def _evidence(self, job_id: str, at: int, record: Record | None) -> Evidence:
        session = self._opened()
        members = self._running_engine().membership.members
        names = {member.id: member.name for member in members}
        births = {member.id: member.started for member in members if member.claims}
        rows: list[Row] = list(_carried(record))
        rows += await session.ledger(job_id, until=at, limit=_BEFORE)

        def told() -> Evidence:
            now, keeps = session.estimate(), session.terms.ledger_age
            return Evidence(job_id, record, tuple(rows), now, keeps, names, births)

        slot = _target(told(), at)
        rows += await _behind(session, job_id, slot, rows, record)
        return told()


def _carried(record: Record | None) -> list[Row]:
    """Return the last outcomes, which a record keeps longer than the ledger does."""
    rows: list[Row] = []
    for line in () if record is None else record.state.recent:
        try:
            rows.append(unpack_row(line))
        except ValueError:
            continue
    return rows


def _target(evidence: Evidence, at: int) -> int:
    """Return the slot that will be explained, as far as can be told already."""
    trigger = evidence.trigger
    if trigger is None or not evidence.of_era(at) or trigger.next(at - 1) == at:
        return at
    if at < (evidence.era_begun or 0):
        return at  # it may have been a slot of a trigger before
    near = [slot for slot in nearest_slots(evidence, at) if slot is not None]
    return min([at, *near], key=lambda slot: (slot == at, abs(slot - at)))


async def _behind(
    session: Session, job_id: str, slot: int, rows: list[Row], record: Record | None
) -> list[Row]:
    """Read on from a slot until what became of it is told, within bounds."""
    found: list[Row] = []
    now = session.estimate()
    begin = slot
    fate_open = record is not None and record.state.next is not None
    if fate_open and record is not None and slot >= (record.state.next or 0):
        return found  # nobody has decided on it yet
    for end in (*(slot + span for span in _SPANS), None):
        # What an outcome says is not all: acts of people and earlier attempts lie
        # between the slot and it.
        told = decided([*rows, *found], slot)
        last = end if told is None or (end is not None and end < told) else told
        page = await session.ledger(job_id, since=begin, until=last, limit=_AFTER)
        found += page
        known = [*rows, *found]
        told = decided(known, slot)
        reached = last is None or (told is not None and told <= last)
        if reached and told is not None and fences_told(known, slot, record):
            break
        if end is None or end > now:
            break
        begin = end + 1
    return found
