"""Reading the ledger, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Literal, NamedTuple

from aiosched._api.base import Base, job_id_of
from aiosched._api.options import instant_of, optional_text
from aiosched.abc import RowPage
from aiosched.enums import Outcome, RowKind
from aiosched.errors import ConfigurationError
from aiosched.jobs import Job, LedgerEntry, checks, entry_of
from aiosched.jobs.runs import OF_RUNS
from aiosched.jobs.snapshots import readable_rows
from aiosched.records import Row

__all__ = ["HistoryPage", "LedgerReading"]

MAX_ROWS = 1_000_000
"""Ledger entries that one call may ask for."""
_LEAST, _MOST = 200, 1_000
"""Rows that are read at once where many of them may not be wanted."""

OutcomeWord = Literal[
    "succeeded", "failed", "timed_out", "cancelled", "lost", "expired"
]
KindWord = (
    OutcomeWord
    | Literal[
        "handed_back",
        "skipped",
        "missed",
        "excluded",
        "paused",
        "created",
        "removed",
        "modified",
        "held",
        "resumed",
        "stopped",
        "asked",
    ]
)


class HistoryPage(list[LedgerEntry]):
    """A page of the ledger; ``cursor`` fetches the next, and is None on the last."""

    cursor: str | None

    def __init__(
        self, entries: Iterable[LedgerEntry] = (), cursor: str | None = None
    ) -> None:
        """Hold entries and the way to the next page."""
        super().__init__(entries)
        self.cursor = cursor


class _Behind(NamedTuple):
    """Where a page goes on, as its cursor says.

    Attributes:
        at: Of the last row that was given.
        store: How the store calls the place of that row; None: it came from
            the job's record.
        key: Of that row's firing.
    """

    at: int
    store: str | None
    key: str = ""

    def text(self) -> str:
        if self.store is None:
            return f"record:{self.at}:{self.key}"
        return f"ledger:{self.at}:{self.store}"


class _Wanted(NamedTuple):
    """Which rows are asked for."""

    job_id: str | None
    since: int | None
    until: int | None
    fits: Callable[[Row], bool] | None
    limit: int

    def takes(self, row: Row) -> bool:
        return self.fits is None or self.fits(row)

    def timely(self, row: Row) -> bool:
        early = self.since is not None and row.at < self.since
        return not early and (self.until is None or row.at <= self.until)


class LedgerReading(Base):
    """What became of slots and runs, and who did what to jobs."""

    async def history(
        self,
        job: Job | str | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        kind: RowKind | KindWord | Iterable[RowKind | KindWord] | None = None,
        outcome: Outcome | OutcomeWord | Iterable[Outcome | OutcomeWord] | None = None,
        runs_only: bool = False,
        limit: int = 100,
        cursor: str | None = None,
    ) -> HistoryPage:
        """Return a page of what the ledger says, newest first.

        Reading on with cursors shows each row that was there all the time
        exactly once, and none that was written after the first page.  Of one
        job it goes on, behind the ledger's own age, with the last outcomes that
        the job carries with it (``keep_last``).

        Args:
            job: Of this job; None: of all.
            since: Only what was decided at or after it; an aware datetime.
            until: Only what was decided at or before it.
            kind: Only rows of this kind, or of these; None: of any.
            outcome: Only firings that ended so, or in one of these ways; None:
                everything.
            runs_only: Only rows about runs, attempts that were not the last
                included.
            limit: Most entries to return, 0 to 1,000,000.
            cursor: That of the page before; None begins.

        Returns:
            A list whose ``cursor`` leads on; the last page may be empty.

        Raises:
            ConfigurationError: A bound, filter, limit or cursor that cannot be
                used.
        """
        checks.number("limit", limit, least=0, most=MAX_ROWS)
        checks.flag("runs_only", runs_only)
        optional_text("cursor", cursor)
        wanted = _Wanted(
            None if job is None else job_id_of(job),
            None if since is None else instant_of("since", since),
            None if until is None else instant_of("until", until),
            _filter(kind, outcome, runs_only=runs_only),
            limit,
        )
        behind = None if cursor is None else _behind(cursor)
        if limit == 0:
            return HistoryPage((), cursor)
        rows, last = await self._rows(wanted, behind)
        now = self._opened().estimate()
        entries = [entry_of(row, now=now) for row in rows]
        return HistoryPage(entries, None if last is None else last.text())

    async def _rows(
        self, wanted: _Wanted, behind: _Behind | None
    ) -> tuple[list[Row], _Behind | None]:
        """Return rows, and where to go on."""
        found: list[Row] = []
        size = wanted.limit
        if wanted.fits is not None:
            size = max(_LEAST, min(size, _MOST))
        complete = behind is not None and behind.store is None
        while not complete:
            page = await self._page(wanted, behind, size)
            for number, row in enumerate(page):
                behind = _Behind(row.at, page.cursors[number])
                if wanted.takes(row):
                    found.append(row)
                    last = page.complete and number == len(page) - 1
                    if len(found) == wanted.limit and not last:
                        return found, behind
            complete = page.complete
        return await self._outlived(wanted, behind, found)

    async def _page(
        self, wanted: _Wanted, behind: _Behind | None, size: int
    ) -> RowPage:
        try:
            return await self._opened().ledger(
                wanted.job_id,
                since=wanted.since,
                until=wanted.until,
                limit=size,
                cursor=None if behind is None else behind.store,
            )
        except ValueError:
            if behind is None:
                raise
            raise _nowhere(behind.text()) from None

    async def _outlived(
        self, wanted: _Wanted, behind: _Behind | None, found: list[Row]
    ) -> tuple[list[Row], _Behind | None]:
        """Go on with the outcomes that a record has kept longer than the ledger."""
        if wanted.job_id is None:
            return found, None
        record = (await self._opened().read([wanted.job_id])).get(wanted.job_id)
        rows = [] if record is None else list(readable_rows(record.state.recent))
        older = [
            row
            for row in _rest(rows, behind)
            if wanted.timely(row) and wanted.takes(row)
        ]
        room = wanted.limit - len(found)
        found += older[:room]
        if len(older) <= room:
            return found, None
        if room == 0:
            return found, behind
        return found, _Behind(found[-1].at, None, found[-1].key)


def _rest(rows: list[Row], behind: _Behind | None) -> list[Row]:
    """Return the rows of a record, newest first, that have not been given."""
    if behind is None:
        return rows
    if behind.store is None:
        given = (behind.at, behind.key)
        for number, row in enumerate(rows):
            if (row.at, row.key) == given:
                return rows[number + 1 :]
    return [row for row in rows if row.at < behind.at]


def _behind(cursor: str) -> _Behind:
    where, _, rest = cursor.partition(":")
    at, mark, text = rest.partition(":")
    if mark and where in ("ledger", "record"):
        try:
            instant = int(at)
        except ValueError:
            pass
        else:
            if where == "record":
                return _Behind(instant, None, text)
            return _Behind(instant, text)
    raise _nowhere(cursor)


def _nowhere(cursor: object) -> ConfigurationError:
    return ConfigurationError(
        "cursor", cursor, "leads nowhere", "give that of the page before"
    )


def _filter(
    kind: object, outcome: object, *, runs_only: bool
) -> Callable[[Row], bool] | None:
    """Return what tells rows that are wanted from others; None: all are."""
    kinds = None if kind is None else _words("kind", kind, RowKind)
    ends = None if outcome is None else _words("outcome", outcome, Outcome)
    if kinds is None and ends is None and not runs_only:
        return None

    def fits(row: Row) -> bool:
        if runs_only and row.kind not in OF_RUNS:
            return False
        if kinds is not None and row.kind not in kinds:
            return False
        return ends is None or (row.final and row.kind.value in ends)

    return fits


def _words(field: str, given: object, words: type[RowKind | Outcome]) -> frozenset[str]:
    """Check one word of a closed list, or several."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        return frozenset((checks.member(field, given, words),))
    return frozenset(checks.member(field, each, words) for each in given)
