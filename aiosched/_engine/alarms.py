"""The alarms: jobs that are due and that no live peer can run.

A peer that looks at a due job and cannot run it leaves it to others.  This
service remembers such jobs and asks with each beat whether there are others.
Where nobody looks, it does: at the queues that no claiming peer serves
(:mod:`aiosched._engine.watch`), and at what is due while this peer has no place
for a run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from aiosched import planning
from aiosched._engine.events import EventBus
from aiosched._engine.heads import Due, Heads
from aiosched._engine.membership import Membership
from aiosched._engine.needs import Gap, Need, gap, need_of, need_of_reader
from aiosched._engine.service import Service
from aiosched._engine.wants import Idle, Wants
from aiosched._engine.watch import Watch
from aiosched.abc import MAX_BATCH, Member, Session
from aiosched.clock import Clock
from aiosched.logs import log
from aiosched.planning import Owed
from aiosched.records import Change, Record, Spec, schema_of

__all__ = ["Alarms"]

BEATS = 2
"""Beats for which nobody must have been able to run a job: a deployment that
replaces the only capable peer is no alarm."""

LONGEST = 30.0
"""Seconds after which the alarm is raised, however long the beats are."""

AGAIN = 600.0
"""Seconds after which a job is read again of which nobody here hears any more."""

REMEMBERED = 10_000
"""Jobs that are told of one by one."""

_REST = 3600.0


class Alarms(Service):
    """Tells of jobs that nobody can run, once for each want and each reason."""

    name = "alarms"
    aside = True

    def __init__(
        self,
        clock: Clock,
        session: Session,
        heads: Heads,
        membership: Membership,
        bus: EventBus,
        retry: Callable[[], None],
        full: Callable[[], bool],
        can_run: Callable[[str], bool],
        able: Callable[[], tuple[object, ...]],
    ) -> None:
        super().__init__(clock)
        self.session = session
        self.heads = heads
        self.membership = membership
        self.bus = bus
        self.retry = retry
        self.full = full
        self.can_run = can_run
        self._able = able
        self._gaps: tuple[object, Callable[[Record], Gap | None]] | None = None
        self.watch = Watch(clock, session, membership)
        self._idle: dict[str, Idle] = {}
        self.wants = Wants(bus, session.estimate, self._idle)
        self._looked: dict[str, Due] = {}
        self._beaten = True
        self._more = False

    # -- what others tell and ask ------------------------------------------

    def idle(self, due: Due, record: Record, *, watched: bool = False) -> None:
        """Take in a job that this peer cannot run, if it has anything to start."""
        owed = planning.owed(record.definition, record.state, self.session.estimate())
        if owed is None:
            self._idle.pop(due.job_id, None)
        else:
            created = record.state.created
            self._enter(due, need_of(record), owed, created, watched=watched)

    def unreadable(self, due: Due, *, watched: bool = False) -> None:
        """Take in a job that this peer cannot read, so that it cannot run it."""
        need = need_of_reader(due.key[1], self.membership.describe().schema)
        self._enter(due, need, None, 0, watched=watched)

    def _enter(
        self, due: Due, need: Need, owed: Owed | None, created: int, *, watched: bool
    ) -> None:
        now = self.clock.monotonic()
        known = self._idle.get(due.job_id)
        if known is None and len(self._idle) >= REMEMBERED:
            if not self._more:
                self._more = True
                log.warning(
                    "more than %d jobs wait that this peer cannot run: it does not "
                    "tell of each of them, list them to see all",
                    REMEMBERED,
                    extra={"action": "unclaimable"},
                )
            return
        found = Idle(due, need, owed, created, watched, now)
        if known is not None and (known.need, known.created) == (need, created):
            found.told, found.missed = known.told, known.missed
        self._idle[due.job_id] = found
        if known is None and not watched:
            self.wake()

    def beaten(self) -> None:
        """Look again after a beat, if there is anything to look at."""
        self._beaten = True
        members = self.membership.members
        if self._idle or len(self.wants) or self.full() or self.watch.unserved(members):
            self.wake()

    def gap(self, record: Record) -> Gap | None:
        """Say why no live peer can run a job; None: one can."""
        return self.gaps()(record)

    def gaps(self) -> Callable[[Record], Gap | None]:
        """Return :meth:`gap` for many jobs, as of now."""
        # Asked for each job that is scheduled; peers change once a beat at most.
        standing = (self.membership.members, self._able())
        if self._gaps is None or self._gaps[0] != standing:
            self._gaps = standing, _gaps_of(self.membership.present())
        return self._gaps[1]

    def unclaimable(self) -> tuple[str, ...]:
        """Return the jobs of which it was told that nobody can run them, sorted."""
        return tuple(sorted(i for i, one in self._idle.items() if one.told))

    # -- the loop ----------------------------------------------------------

    async def run(self) -> None:
        """Look at each beat for ever.

        Raises:
            StoreUnavailableError: What is due could not be read.
        """
        while True:
            members = self.membership.present()
            self.watch.choose(members)
            if self.watch.pause() == 0.0:
                await self._look_at_unserved()
            if self._beaten and self.full():
                await self._look_while_full()
            self._beaten = False
            await self._forget_moved()
            await self._compare(members)
            self._make_room()
            self.alive()
            await self.doze(self._rest())

    def _rest(self) -> float:
        """Return for how long there is nothing to do unless a beat wakes it."""
        now = self.clock.monotonic()
        pauses = [_REST, self.membership.interval]
        watch = self.watch.pause()
        if watch is not None:
            pauses.append(watch)
        settled = self._settled()
        pauses += [
            since + settled - now
            for since in self.wants.begun()
            if now - since < settled
        ]
        if not self._idle and watch is None:
            return max(_REST, self.membership.interval)
        return max(min(pauses), 0.1)

    def _settled(self) -> float:
        return min(BEATS * self.membership.interval, LONGEST)

    # -- what is remembered ------------------------------------------------

    async def _forget_moved(self) -> None:
        """Drop what has been run, changed or removed meanwhile."""
        now = self.clock.monotonic()
        doubtful: list[str] = []
        for job_id, one in list(self._idle.items()):
            key = one.due.key
            if one.watched and key[1] in self.watch.queues:
                continue  # the watch drops it
            if self.heads.rank(key) is None:
                # Others look after it: remembered, so as not to tell of it twice.
                if not one.told:
                    del self._idle[job_id]
                elif now - one.read_at >= AGAIN:
                    doubtful.append(job_id)
            elif self.heads.stands(key, job_id) != one.due.at:
                if one.told and self.heads.stands(key, job_id) is None:
                    doubtful.append(job_id)
                elif not one.told:
                    del self._idle[job_id]
                elif now - one.read_at >= self.membership.interval:
                    doubtful.append(job_id)
        await self._read_again(doubtful)

    async def _read_again(self, job_ids: Collection[str]) -> None:
        """Look whether jobs are still there and still due."""
        shards: dict[int, list[str]] = {}
        for job_id in job_ids:
            shard = self._idle[job_id].due.key[0]
            shards.setdefault(shard, []).append(job_id)
        for _, ids in sorted(shards.items()):
            for first in range(0, len(ids), MAX_BATCH):
                self.step()
                part = ids[first : first + MAX_BATCH]
                self._take_again(part, await self._records(part))

    async def _records(self, ids: Sequence[str]) -> Mapping[str, Record | None]:
        """Read records of one shard: None is gone, one left out is unreadable."""
        found: dict[str, Record | None] = {}

        def look(records: Mapping[str, Record | None], _: int) -> dict[str, Change]:
            found.clear()
            found.update(records)
            return {}

        await self.session.transact(ids, look)
        return found

    def _take_again(
        self, ids: Sequence[str], records: Mapping[str, Record | None]
    ) -> None:
        for job_id in ids:
            one = self._idle.get(job_id)
            if one is None:
                continue
            if job_id not in records:
                self.unreadable(one.due, watched=one.watched)
                continue
            record = records[job_id]
            at = None
            if record is not None:
                at = planning.instant(record.definition, record.state)
            if record is None or at is None:
                del self._idle[job_id]
            else:
                key = one.due.key[0], record.definition.spec.queue
                self.idle(Due(key, job_id, at), record, watched=one.watched)

    def _make_room(self) -> None:
        """Take in the jobs for which there was no room, if there is some now."""
        if self._more and len(self._idle) < REMEMBERED * 9 // 10:
            self._more = False
            self.watch.forget()
            self._looked.clear()
            self.retry()

    # -- comparing and telling ---------------------------------------------

    async def _compare(self, members: Sequence[Member]) -> None:
        """Hold what is needed against what there is."""
        now = self.clock.monotonic()
        by_need: dict[Need, list[str]] = {need: [] for need in self.wants.needs()}
        for job_id, one in self._idle.items():
            by_need.setdefault(one.need, []).append(job_id)
        ready: list[Need] = []
        for need, ids in by_need.items():
            why = gap(need, members)
            if why is None:
                for job_id in ids:
                    # Kept: whoever can run it may die with the entry still there.
                    self._idle[job_id].told = ""
                    self._idle[job_id].missed = False
                if self.wants.end(need):
                    self.retry()
            elif self.wants.note(need, why, now, used=bool(ids)) >= self._settled():
                ready.append(need)
        await self._read_again([i for need in ready for i in self.wants.untold(need)])
        for need in ready:
            self.wants.tell(need)

    # -- where nobody looks ------------------------------------------------

    async def _look_at_unserved(self) -> None:
        """Read what is due in the queues that no claiming peer serves."""
        self.step()
        found = await self.watch.look()
        listed = {due.job_id for part in found.values() for due in part}
        for job_id, one in list(self._idle.items()):
            if one.watched and one.due.key in found and job_id not in listed:
                del self._idle[job_id]
        await self._look([due for part in found.values() for due in part], watched=True)

    async def _look_while_full(self) -> None:
        """Look at what has been due for a beat, as this peer claims nothing now.

        A batch each beat, and at each entry once.
        """
        self._looked = {
            job_id: due
            for job_id, due in self._looked.items()
            if self.heads.stands(due.key, job_id) == due.at
        }
        since = self.session.estimate() - self.session.terms.beat
        due = [
            one
            for one in self.heads.overdue(since)
            if self._looked.get(one.job_id) != one and one.job_id not in self._idle
        ]
        due.sort(key=lambda one: (one.key, one.at))
        del due[MAX_BATCH:]
        self._looked.update({one.job_id: one for one in due})
        await self._look(due, watched=False)

    async def _look(self, due: list[Due], *, watched: bool) -> None:
        """Read due jobs, and take in those that cannot be run here."""
        due.sort(key=lambda one: one.at)
        for first in range(0, len(due), MAX_BATCH):
            self.step()
            part = {one.job_id: one for one in due[first : first + MAX_BATCH]}
            records = await self.session.read(list(part))
            for job_id, one in part.items():
                record = records.get(job_id)
                if record is None:
                    # Gone or unreadable: that is found out before it is told.
                    self.unreadable(one, watched=watched)
                elif watched or not self.can_run(record.definition.spec.executor):
                    self.idle(one, record, watched=watched)


def _gaps_of(members: Sequence[Member]) -> Callable[[Record], Gap | None]:
    """Return what says why none of these peers can run a job."""
    # By identity: hashing a spec would hash its trigger, field by field.
    known: dict[tuple[int, int], tuple[Spec, Gap | None]] = {}

    def of(record: Record) -> Gap | None:
        spec = record.definition.spec
        key = id(spec), schema_of(record)
        found = known.get(key)
        if found is None:
            if len(known) >= REMEMBERED:
                known.clear()
            found = known[key] = spec, gap(need_of(record), members)
        return found[1]

    return of
