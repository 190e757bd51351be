"""A job store on SQLite: schedulers on one machine share a file.

An example of the port, synchronous inside.  Signals are rows of a log that each
subscription polls, so that other processes hear of changes as well.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from pydantic import TypeAdapter

from aiosched import abc
from aiosched.clock import Clock, SystemClock, random_id
from aiosched.errors import StoreConflictError, StoreError
from aiosched.instants import DAY, SECOND
from aiosched.records import Change, Record
from aiosched.rows import pack_row, unpack_row
from aiosched.stores.terms import agreed_terms
from aiosched.triggers.base import trigger_from_data

TABLES = """PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;
CREATE TABLE IF NOT EXISTS jobs
  (ns, id, shard, queue, at, keyword, data, PRIMARY KEY (ns, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS agendas ON jobs (ns, shard, queue, at, id);
CREATE INDEX IF NOT EXISTS keywords ON jobs (ns, keyword);
CREATE TABLE IF NOT EXISTS facts (ns, kind, id, seen, data, PRIMARY KEY (ns, kind, id));
CREATE TABLE IF NOT EXISTS log
  (n INTEGER PRIMARY KEY AUTOINCREMENT, ns, kind, id, at, data);
CREATE INDEX IF NOT EXISTS logs ON log (ns, kind, at);"""
ATTEMPTS, POLL, SIGNAL_AGE, END = 16, 0.02, 60 * SECOND, 2**62
RECORD, SIGNAL = TypeAdapter(Record), TypeAdapter(abc.Signal)
MEMBER, EXECUTOR = TypeAdapter(abc.Member), TypeAdapter(abc.ExecutorInfo)


def dump(record: Record) -> str:
    """Write a record as JSON; triggers have a form of their own."""
    data = RECORD.dump_python(record, mode="json")
    trigger = record.definition.spec.trigger
    data["definition"]["spec"]["trigger"] = trigger and trigger.to_data()
    return json.dumps(data)


def load(text: str) -> Record:
    """Read what :func:`dump` wrote."""
    data = json.loads(text)
    spec = data["definition"]["spec"]
    spec["trigger"] = spec["trigger"] and trigger_from_data(spec["trigger"])
    return RECORD.validate_python(data)


class SQLiteJobStore(abc.JobStore):
    """Keeps jobs in a file; its time is the host's, and never goes back."""

    threadable = True

    def __init__(self, path: str, *, clock: Clock | None = None) -> None:
        """Name the file; each session opens it."""
        self.path, self.clock, self._latest = path, clock or SystemClock(), 0

    def now(self) -> int:
        """Return the instant."""
        self._latest = max(self._latest, self.clock.wall())
        return self._latest

    async def open(self, namespace: str, terms: Any, **_: Any) -> abc.Session:
        """Open a session with a connection of its own."""
        session = _Session(self, namespace)
        try:
            with session.db:
                session.db.execute("BEGIN IMMEDIATE")
                stored = session.facts("terms").values()
                held = [abc.Terms(**json.loads(text)) for text in stored]
                session.terms = agreed_terms(held[0] if held else None, terms)
                if not held:
                    session.put("terms", random_id(), json.dumps(asdict(session.terms)))
        except BaseException:
            await session.close()
            raise
        return session


class _Session(abc.Session):
    closed = False

    def __init__(self, store: SQLiteJobStore, namespace: str) -> None:
        self.store, self.namespace, self.counters = store, namespace, abc.Counters()
        self.db = sqlite3.connect(store.path, isolation_level=None, timeout=30)
        self.db.executescript(TABLES)

    def sql(self, text: str, *values: Any) -> list[Any]:
        # The first parameter is always the namespace.
        if self.closed:
            raise StoreError("this session is closed; open another one")
        return self.db.execute(text, (self.namespace, *values)).fetchall()

    def put(self, kind: str, key: object, data: object) -> None:
        now = self.store.now()
        self.sql("REPLACE INTO facts VALUES (?, ?, ?, ?, ?)", kind, key, now, data)

    def facts(self, kind: str, since: int = 0) -> dict[Any, Any]:
        text = "SELECT id, data FROM facts WHERE ns=? AND kind=? AND seen>? ORDER BY id"
        return dict(self.sql(text, kind, since))

    def log(self, kind: str, key: str, at: int, data: str) -> None:
        self.sql("INSERT INTO log VALUES (NULL, ?, ?, ?, ?, ?)", kind, key, at, data)
        old = at - (self.terms.ledger_age if kind == "row" else SIGNAL_AGE)
        self.sql("DELETE FROM log WHERE ns=? AND kind=? AND at<?", kind, old)

    def tell(self, signal: abc.Signal, now: int) -> None:
        self.log("signal", "", now, SIGNAL.dump_json(signal).decode())

    def texts(self, ids: Sequence[str]) -> dict[str, str]:
        text = "SELECT data FROM jobs WHERE ns=? AND id=?"
        return {i: row[0] for i in ids for row in self.sql(text, i)}

    async def transact(
        self, ids: Any, decide: Any, *, claim: Any = 0, signal: Any = 1, **__: Any
    ) -> dict[str, Change]:
        shards = {abc.shard_of(i, self.terms.shards) for i in ids}
        if len(shards) != 1 or not len(set(ids)) == len(ids) <= abc.MAX_BATCH:
            raise ValueError("give 1 to 100 distinct ids of one shard")
        for _ in range(ATTEMPTS):
            before, now = self.texts(ids), self.store.now()
            seen = {i: load(before[i]) if i in before else None for i in ids}
            changes: dict[str, Change] = dict(decide(seen, now))
            with self.db:
                self.db.execute("BEGIN IMMEDIATE")
                after = self.texts(ids)
                moved = {i for i in ids if after.get(i) != before.get(i)}
                if not moved:
                    self.commit(shards.pop(), seen, changes, now, signal)
                    return changes
            self.counters.aborts += 1
            ids = [i for i in ids if not (claim and i in moved)]
            if not ids:
                return {}
        raise StoreConflictError("a transaction", ATTEMPTS)

    def commit(self, shard: int, seen: Any, changes: Any, now: int, tell: Any) -> None:
        entries, final = [], {}
        for i, change in changes.items():
            new = seen[i] if change.index_only else change.record
            if known := new or seen[i]:
                at, queue = change.at if new else None, known.definition.spec.queue
                entries.append((i, queue, at, known.state.seq))
            if new:
                row = i, shard, queue, at, new.definition.spec.keyword, dump(new)
                self.sql("REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?)", *row)
                self.put("queue", queue, 1)
            else:
                self.sql("DELETE FROM jobs WHERE ns=? AND id=?", i)
            for row in change.rows:
                self.log("row", row.job_id, row.at, pack_row(row))
                final.update({row.job_id: 1} if row.final else {})
        if tell and changes:
            self.put("rev", shard, self.facts("rev").get(shard, 0) + 1)
            self.tell(abc.Signal("changed", shard, tuple(entries)), now)
        if final:
            self.tell(abc.Signal("done", shard, ids=tuple(final)), now)

    async def read(self, ids: Sequence[str]) -> dict[str, Record]:
        return {i: load(text) for i, text in self.texts(ids).items()}

    async def list(self, *, cursor: str | None = None, limit: int = 100) -> abc.Page:
        text = "SELECT id, data FROM jobs WHERE ns=? AND id>? ORDER BY id LIMIT ?"
        rows = self.sql(text, cursor or "", limit)
        last = rows[-1][0] if len(rows) == limit else None
        return abc.Page(tuple(load(data) for _, data in rows), last)

    async def agenda(self, heads: Any, *, limit: int = 100, **_: Any) -> Any:
        text = """SELECT id, at FROM jobs WHERE ns=? AND shard=? AND queue=?
                  AND at IS NOT NULL ORDER BY at, id LIMIT ?"""
        revs, found = self.facts("rev"), []
        for shard, queue in heads:
            rows = self.sql(text, shard, queue, limit + 1)
            first, whole = tuple(rows[:limit]), len(rows) <= limit
            found.append(abc.Head(shard, queue, first, whole, revs.get(shard, 0)))
        return found

    async def by_keyword(self, keyword: str) -> Sequence[str]:
        text = "SELECT id FROM jobs WHERE ns=? AND keyword=? ORDER BY id"
        return [row[0] for row in self.sql(text, keyword)]

    async def ledger(
        self, job_id: Any = None, *, limit: int = 100, cursor: Any = None, **bounds: Any
    ) -> abc.RowPage:
        text = """SELECT data, n FROM log WHERE ns=? AND kind='row' AND id=ifnull(?, id)
            AND at>=? AND at<=ifnull(?, at) AND n<? ORDER BY n DESC LIMIT ?"""
        span = bounds.get("since") or 0, bounds.get("until")
        last = int(END if cursor is None else cursor)
        rows = self.sql(text, job_id, *span, last, limit + 1)
        page = [(unpack_row(data), str(n)) for data, n in rows[:limit]]
        return abc.RowPage(page, complete=len(rows) <= limit)

    async def beat(self, beat: abc.Beat) -> abc.Pulse:
        now, revs = self.store.now(), self.facts("rev")
        if beat.member is None:
            text = "DELETE FROM facts WHERE ns=? AND kind='member' AND id=?"
            self.sql(text, beat.member_id)
        else:
            member = replace(beat.member, beat=now)
            self.put("member", beat.member_id, MEMBER.dump_json(member).decode())
        self.tell(abc.Signal("canary", ids=(beat.member_id,)), now)
        alive = self.facts("member", now - self.terms.member_timeout).values()
        members = tuple(MEMBER.validate_json(member) for member in alive)
        asked = {shard: revs.get(shard, 0) for shard in beat.shards}
        [epoch] = self.facts("terms")
        return abc.Pulse(now, members, asked, epoch, tuple(self.facts("queue")))

    async def advertise(self, executors: Sequence[abc.ExecutorInfo]) -> None:
        for info in executors:
            seen = replace(info, seen=self.store.now())
            self.put("executor", info.name, EXECUTOR.dump_json(seen).decode())

    async def catalogue(self) -> dict[str, abc.ExecutorInfo]:
        found = self.facts("executor", self.store.now() - 7 * DAY)
        return {name: EXECUTOR.validate_json(info) for name, info in found.items()}

    def signals(self) -> abc.SignalStream:
        return _Stream(self)

    async def now(self) -> int:
        self.sql("SELECT ?")
        return self.store.now()

    def estimate(self) -> int:
        return self.store.now()

    async def sweep(self) -> int:
        return len(self.sql("SELECT ? LIMIT 0"))

    async def close(self) -> None:
        self.closed = True
        self.db.close()


class _Stream(abc.SignalStream):
    def __init__(self, session: _Session) -> None:
        self.session, self.last, self.polled, self.closed = session, -1, 0, False

    async def watch(self, changed: frozenset[int], done: frozenset[int]) -> None:
        self.wanted = {"changed": changed, "done": done, "canary": {-1}}
        if self.last < 0:
            [[last]] = self.session.sql("SELECT max(n) FROM log WHERE ns=?")
            self.last, self.polled = last or 0, self.session.store.now()

    async def __aiter__(self) -> AsyncIterator[abc.Signal]:
        text = "SELECT n, data FROM log WHERE ns=? AND kind='signal' AND n>? ORDER BY n"
        while not (self.closed or self.session.closed):
            if self.last >= 0:
                before, self.polled = self.polled, self.session.store.now()
                rows = self.session.sql(text, self.last)
                if self.polled - before > SIGNAL_AGE:
                    # Some may have been deleted in the meantime.
                    yield abc.Signal("resync")
                for self.last, data in rows:
                    signal = SIGNAL.validate_json(data)
                    if signal.shard in self.wanted[signal.kind]:
                        yield signal
            await self.session.store.clock.sleep(POLL)

    def reset(self) -> None:
        self.polled = 0

    async def aclose(self) -> None:
        self.closed = True
