"""A job store on SQLite, as an example of the port: peers on one machine share a file.

Everything is one small SQL transaction on the caller's loop.  Signals are rows that
each subscription polls, so other processes hear of changes too.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any

from pydantic import TypeAdapter

from aiosched import JobStore, StoreConflictError, StoreError
from aiosched.abc import (
    MAX_BATCH,
    Beat,
    Counters,
    Decide,
    ExecutorInfo,
    Head,
    Member,
    Page,
    Pulse,
    Report,
    Session,
    Signal,
    SignalStream,
    Terms,
    shard_of,
)
from aiosched.clock import Clock, SystemClock, random_id
from aiosched.instants import DAY
from aiosched.records import Change, Record, Row
from aiosched.rows import pack_row, unpack_row
from aiosched.stores.terms import agreed_terms
from aiosched.triggers.base import trigger_from_data

TABLES = """
CREATE TABLE IF NOT EXISTS spaces (ns PRIMARY KEY, terms, epoch);
CREATE TABLE IF NOT EXISTS jobs
    (ns, id, shard, queue, at, keyword, data, PRIMARY KEY (ns, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS agendas ON jobs (ns, shard, queue, at);
CREATE INDEX IF NOT EXISTS keywords ON jobs (ns, keyword);
CREATE TABLE IF NOT EXISTS queues (ns, queue, PRIMARY KEY (ns, queue));
CREATE TABLE IF NOT EXISTS revs (ns, shard, rev, PRIMARY KEY (ns, shard));
CREATE TABLE IF NOT EXISTS ledger (n INTEGER PRIMARY KEY, ns, id, at, line);
CREATE INDEX IF NOT EXISTS ledgers ON ledger (ns, id, n);
CREATE TABLE IF NOT EXISTS peers (ns, kind, id, seen, data, PRIMARY KEY (ns, kind, id));
CREATE TABLE IF NOT EXISTS signals
    (n INTEGER PRIMARY KEY AUTOINCREMENT, ns, kind, shard, entries, ids);
"""
ATTEMPTS, POLL, SIGNALS_KEPT = 16, 0.02, 10_000
RECORD, MEMBER = TypeAdapter(Record), TypeAdapter(Member)
EXECUTOR = TypeAdapter(ExecutorInfo)


def dump(record: Record) -> str:
    data = RECORD.dump_python(record, mode="json")
    trigger = record.definition.spec.trigger
    data["definition"]["spec"]["trigger"] = trigger and trigger.to_data()
    return json.dumps(data)


def load(text: str) -> Record:
    data = json.loads(text)
    spec = data["definition"]["spec"]
    spec["trigger"] = spec["trigger"] and trigger_from_data(spec["trigger"])
    return RECORD.validate_python(data)


class SQLiteJobStore(JobStore):
    """Keeps jobs in a file of SQLite, by the host's clock."""

    threadable = True

    def __init__(self, path: str, *, clock: Clock | None = None) -> None:
        """Name the file; it is opened with each session."""
        self.path, self.clock, self._latest = path, clock or SystemClock(), 0

    def now(self) -> int:
        """Return the host's instant; it never goes back."""
        self._latest = max(self._latest, self.clock.wall())
        return self._latest

    async def open(
        self, namespace: str, terms: Mapping[str, Any], *, report: Report | None = None
    ) -> Session:
        """Open a connection of the session's own."""
        db = sqlite3.connect(self.path, isolation_level=None, timeout=30)
        db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + TABLES)
        try:
            with _Writing(db):
                found = db.execute("SELECT * FROM spaces WHERE ns=?", [namespace])
                row = found.fetchone() or (None, None, random_id())
                stored = Terms(**json.loads(row[1])) if row[1] else None
                held = agreed_terms(stored, terms)
                new = namespace, json.dumps(asdict(held)), row[2]
                db.execute("INSERT OR IGNORE INTO spaces VALUES (?, ?, ?)", new)
        except BaseException:
            db.close()
            raise
        return _Session(self, db, namespace, held, row[2])


class _Writing:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")


class _Session(Session):
    def __init__(
        self, store: SQLiteJobStore, db: Any, ns: str, terms: Terms, epoch: str
    ) -> None:
        self.store, self.ns, self.terms, self.epoch = store, ns, terms, epoch
        self.counters, self.closed, self._db = Counters(), False, db

    def sql(self, text: str, *values: Any) -> list[Any]:
        """Run one statement, whose first parameter is the namespace."""
        if self.closed:
            raise StoreError("this session is closed")
        return self._db.execute(text, (self.ns, *values)).fetchall()

    # -- records

    def _texts(self, ids: Sequence[str]) -> dict[str, str]:
        query = "SELECT data FROM jobs WHERE ns=? AND id=?"
        return {i: row[0] for i in ids for row in self.sql(query, i)}

    async def transact(
        self, ids: Sequence[str], decide: Decide, *, claim: bool = False,
        signal: bool = True,
    ) -> dict[str, Change]:  # fmt: skip
        shards = {shard_of(i, self.terms.shards) for i in ids}
        if len(shards) != 1 or len(set(ids)) != len(ids) or len(ids) > MAX_BATCH:
            raise ValueError("give 1 to 100 ids of one shard")
        for _ in range(ATTEMPTS):
            before, now = self._texts(ids), self.store.now()
            seen = {i: load(before[i]) if i in before else None for i in ids}
            changes = dict(decide(seen, now))
            with _Writing(self._db):
                after = self._texts(ids)
                moved = [i for i in ids if after.get(i) != before.get(i)]
                if not moved:
                    self._commit(shards.pop(), seen, changes, now, signal)
                    return changes
            self.counters.aborts += 1
            ids = [i for i in ids if not claim or i not in moved]
            if not ids:
                return {}
        raise StoreConflictError("a transaction", ATTEMPTS)

    def _commit(self, shard: int, seen: Any, changes: Any, now: int, tell: bool) -> None:
        entries, final = [], {}
        for job_id, change in changes.items():
            record = seen[job_id] if change.index_only else change.record
            spec = (record or seen[job_id] or load_nothing).definition.spec
            if record is None:
                self.sql("DELETE FROM jobs WHERE ns=? AND id=?", job_id)
            else:
                where = shard, spec.queue, change.at, spec.keyword, dump(record)
                new = "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?)"
                self.sql(new, job_id, *where)
                self.sql("INSERT OR IGNORE INTO queues VALUES (?, ?)", spec.queue)
