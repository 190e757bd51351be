"""The verbs that move jobs from store to store, as one JSON document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aiosched import planning
from aiosched._api.base import DecideOne, job_id_of, shown_job
from aiosched._api.bulk import Bulk
from aiosched._api.deciding import unreadable
from aiosched._api.defining import ConflictWord, Defining
from aiosched._api.options import optional_text
from aiosched.enums import JobState, OnConflict
from aiosched.errors import InvalidInputError, StoreDataError
from aiosched.jobs import Job, checks
from aiosched.jobs.documents import (
    MovedState,
    StoredJob,
    document_of,
    read_document,
    within,
)
from aiosched.planning.moved import Carried, admit, settled_counts
from aiosched.records import Apart, Change, Definition, Record
from aiosched.rows import Act

__all__ = ["Imported", "Moving"]

_PART = 500
_OVER = (JobState.FINISHED, JobState.REMOVED)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import has done, or would do.

    Attributes:
        created: Ids of jobs that were made, sorted.
        replaced: Ids of jobs that were there and have another definition now.
        kept: Ids of jobs whose stored definition differs and stayed.
        unchanged: Ids of jobs that were there as they are in the document.
        dry_run: Whether nothing was written.
    """

    created: tuple[str, ...]
    replaced: tuple[str, ...]
    kept: tuple[str, ...]
    unchanged: tuple[str, ...]
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class _Wish:
    """How a document is to be taken in."""

    rule: OnConflict
    keep_state: bool
    act: Act


@dataclass(frozen=True, slots=True)
class _Coming:
    """A job of a document on its way into a store.

    Attributes:
        path: Where it stands in the document.
        one: What the document says.
        definition: What is to be stored.
        wish: How.
    """

    path: str
    one: StoredJob
    definition: Definition
    wish: _Wish

    def decide(self, record: Record | None, now: int) -> Change | None:
        """Decide over what is stored under its id."""
        state, wish = self.one.state, self.wish
        try:
            return admit(
                self.definition,
                record,
                now,
                Carried(
                    state.next_slot,
                    state.counts,
                    state.pause_note,
                    state.pause_until,
                    state.declared,
                    state.trigger_given,
                    state.when_given,
                ),
                keep_state=wish.keep_state,
                on_conflict=wish.rule,
                paused=self.one.job.paused,
                act=wish.act,
            )
        except InvalidInputError as error:
            raise within(f"{self.path}.state", error) from None

    def word(self, record: Record | None, change: Change | None) -> str:
        """Say what a decision makes of the job."""
        if change is None:
            differs = record is not None and planning.differing(
                record.definition, self.definition
            )
            return "kept" if differs else "unchanged"
        anew = record is None or record.state.status in _OVER
        return "created" if anew else "replaced"


class Moving(Bulk, Defining):
    """What carries jobs over, whatever kind of store they come from and go to."""

    namespace: str

    async def export_jobs(
        self, *jobs: Job | str, tag: str | None = None
    ) -> dict[str, Any]:
        """Return jobs as one JSON document that :meth:`import_jobs` takes.

        Each job has its definition and what it has come to: its next slot, its
        pause, its sums.  Open firings, results and the ledger stay where they are.
        A job of which nothing but an open firing is left is not among the jobs; the
        document names it under ``left_out``, with ``running`` or ``waiting``.

        Nothing is written.  Jobs that change meanwhile are read as they were before
        or after; pause them first where that matters.

        Args:
            *jobs: These alone; none given: all that are active or paused.
            tag: Jobs that carry it.

        Returns:
            JSON values; ``aiosched schema jobs`` prints their schema.  A record
            that cannot be read is left out of a listing, and told by the event
            ``unreadable``.

        Raises:
            JobNotFoundError: One that was named is not there (any more).
            StoreDataError: One that was named cannot be read.
            ConfigurationError: A tag or job that is none.
            StoreUnavailableError: The store did not answer; calling again is safe.
        """
        optional_text("tag", tag)
        named = list(dict.fromkeys(job_id_of(job) for job in jobs))
        found: list[StoredJob] = []
        left: dict[str, str] = {}
        seen: set[str] = set()
        if named:
            records = await self._named_records(named)
            _sort_out(records.values(), tag, found, left)
        else:
            states = (JobState.ACTIVE, JobState.PAUSED)
            async for ids in self._chosen(tag, states):
                fresh = [job_id for job_id in ids if job_id not in seen]
                seen.update(fresh)
                records = await self._opened().read(fresh) if fresh else {}
                _sort_out(records.values(), tag, found, left, self._report)
        return document_of(
            found,
            namespace=self.namespace,
            at=self._opened().estimate(),
            left_out=left,
        )

    async def _named_records(self, ids: list[str]) -> dict[str, Record]:
        session = self._opened()
        records: dict[str, Record] = {}
        for first in range(0, len(ids), _PART):
            records.update(await session.read(ids[first : first + _PART]))
        for job_id in ids:
            if job_id not in records:
                await self._decide(job_id, lambda _record, _now: None)  # unreadable?
            planning.living(records.get(job_id), job_id)
        return records

    async def import_jobs(
        self,
        document: Mapping[str, Any],
        *,
        on_conflict: OnConflict | ConflictWord = "raise",
        keep_state: bool = False,
        allow_unknown: bool = False,
        dry_run: bool = False,
        by: str | None = None,
    ) -> Imported:
        """Store the jobs of a document that :meth:`export_jobs` wrote.

        All of them are checked before the first is written, conflicts with what is
        stored included; then they are written in transactions of up to a hundred.
        Calling again after an error is safe: what is there already stays.

        A job that was paused is paused, with its note and the end of its pause.  A
        job that is there already keeps its state: its slots, its pause, its sums.

        Args:
            document: What was exported, here or elsewhere.
            on_conflict: What to do about an id that has another definition here:
                ``raise``, ``replace`` or ``keep`` the stored one.
            keep_state: True: jobs go on where they were exported: the next slot is
                the one that was next there, and runs late, or is missed, by the
                job's own rules if it has passed; sums, and with them what is left
                of ``max_runs``, go on.  False: they begin anew, with the first
                slot from now on, and with no sums.
            allow_unknown: Accept executors that no peer has advertised.
            dry_run: Check everything, and write nothing.
            by: Who asks, 1 to 200 characters; None: this scheduler's name.

        Returns:
            What became of each job.

        Raises:
            InvalidInputError: Something cannot be stored; ``field`` is the path in
                the document where it is to blame; nothing was written.
            JobExistsError: An id has another definition, and ``on_conflict`` is
                ``raise``; nothing was written, unless somebody else stored that
                job in this moment.
            StoreDataError: What is stored under an id cannot be read.
            StoreUnavailableError: The store did not answer; calling again is safe.
        """
        rule = OnConflict(checks.member("on_conflict", on_conflict, OnConflict))
        checks.flag("keep_state", keep_state)
        checks.flag("allow_unknown", allow_unknown)
        checks.flag("dry_run", dry_run)
        wish = _Wish(rule, keep_state, self._act(by))
        coming = [
            await self._coming(
                f"jobs[{number}]", one, wish, allow_unknown=allow_unknown
            )
            for number, one in enumerate(read_document(document))
        ]
        foreseen = await self._foresee(coming)
        if dry_run:
            return replace(foreseen, dry_run=True)
        return await self._admit(coming)

    async def _coming(
        self, path: str, one: StoredJob, wish: _Wish, *, allow_unknown: bool
    ) -> _Coming:
        try:
            definition = await self._definition(one.job, allow_unknown=allow_unknown)
        except InvalidInputError as error:
            raise within(f"{path}.job", error) from error
        spec = replace(definition.spec, declared=one.state.declared)
        return _Coming(path, one, replace(definition, spec=spec), wish)

    async def _foresee(self, coming: Sequence[_Coming]) -> Imported:
        """Decide over what is stored now, and write nothing.

        Raises:
            JobError: As the import would.
            TriggerError: As the import would.
        """
        session = self._opened()
        became: dict[str, str] = {}
        for first in range(0, len(coming), _PART):
            part = coming[first : first + _PART]
            records = await session.read([one.definition.id for one in part])
            now = session.estimate()
            for one in part:
                record = records.get(one.definition.id)
                became[one.definition.id] = one.word(record, one.decide(record, now))
        return _told(became)

    async def _admit(self, coming: Sequence[_Coming]) -> Imported:
        those = {one.definition.id: one for one in coming}
        became: dict[str, str] = {}

        def decide(job_id: str) -> DecideOne:
            def admitted(record: Record | None, now: int) -> Change | None:
                change = those[job_id].decide(record, now)
                became[job_id] = those[job_id].word(record, change)
                return change

            return admitted

        _, errors = await self._decide_many(those, decide, "job_scheduled")
        if errors:
            raise next(iter(errors.values()))
        for job_id in those:
            if job_id not in became:
                raise unreadable(job_id)
        return _told(became)


def _sort_out(
    records: Iterable[Record],
    tag: str | None,
    found: list[StoredJob],
    left: dict[str, str],
    report: Callable[[str, str], None] | None = None,
) -> None:
    """Tell jobs that can be moved from those of which only a firing is left."""
    for record in records:
        definition, state = record.definition, record.state
        if state.status not in (JobState.ACTIVE, JobState.PAUSED):
            continue
        if tag is not None and tag not in definition.spec.tags:
            continue
        if state.next is None and definition.spec.keyword is None:
            left[definition.id] = "running" if state.runs else "waiting"
            continue
        try:
            found.append(_stored_job(record))
        except StoreDataError as error:
            if report is None:
                raise
            report(definition.id, str(error))


def _stored_job(record: Record) -> StoredJob:
    if isinstance(record.definition.arguments, Apart):
        problem = "its arguments are missing in the store"
        raise StoreDataError(record.definition.id, problem)
    return StoredJob(shown_job(record, 0), _state_of(record))


def _state_of(record: Record) -> MovedState:
    spec, state = record.definition.spec, record.state
    return MovedState(
        state.next,
        settled_counts(record),
        state.pause_note,
        state.pause_until,
        spec.declared,
        spec.unpinned,
        spec.delay,
    )


def _told(became: Mapping[str, str]) -> Imported:
    def those(word: str) -> tuple[str, ...]:
        return tuple(sorted(i for i, each in became.items() if each == word))

    return Imported(
        those("created"), those("replaced"), those("kept"), those("unchanged")
    )
