"""Dead-man URLs: a ping when a job runs, fails or misses a slot.

The protocol is that of healthchecks.io (https://healthchecks.io/docs/http_api/),
which others speak too: the URL itself means success, ``/start`` the start, ``/fail``
a failure, ``/log`` news that are neither; ``rid`` tells runs apart.  Who hears
nothing in time raises the alarm, also when every peer is dead.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

from aiosched._engine.events import Event
from aiosched.clock import Clock
from aiosched.delivery import Counts, Outlet, teller
from aiosched.enums import Outcome, RowKind
from aiosched.errors import ConfigurationError
from aiosched.integrations.http.sender import HttpOptions, Sender
from aiosched.integrations.http.signing import message_id
from aiosched.integrations.http.urls import AllowList, parts_of
from aiosched.integrations.http.webhooks import poster
from aiosched.jobs import Job, LedgerEntry, Run
from aiosched.logs import log
from aiosched.scheduler import Scheduler

__all__ = ["DeadMan"]

_ENDS = {Outcome.SUCCEEDED: "", Outcome.CANCELLED: "/log"}
_TOLD = 10_000


class DeadMan:
    """Pings the URL of a job, from the peer that runs it or records its end.

    The URL stands in the job's ``meta`` (``meta={"ping": "https://…"}``), or in
    ``urls``.  ``/start`` is sent at a firing's first attempt; success or ``/fail``
    at its final outcome; ``/fail`` also for slots that are recorded as missed; and
    ``/log`` for a run that was cancelled.

    Use it around the scheduler: ``async with DeadMan(scheduler), scheduler:``.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        allowed: Iterable[str] = ("https://hc-ping.com",),
        urls: Mapping[str, str] | None = None,
        key: str = "ping",
        options: HttpOptions | None = None,
        give_up: float = 3_600.0,
        pause: float = 0.5,
        clock: Clock | None = None,
    ) -> None:
        """Begin to listen; nothing is sent before there is something to tell.

        Args:
            scheduler: The peer, started or not.
            allowed: Bases of URLs that may be pinged, whatever jobs say.
            urls: By job id; they win over those in ``meta``.
            key: Where in ``meta`` the URL stands.
            options: Bounds of a request.
            give_up: Seconds after which a ping is dropped.
            pause: Seconds before the second try; doubled each time, up to 60.
            clock: For tests.

        Raises:
            ConfigurationError: Something cannot be used, or a URL is not allowed.
        """
        self._namespace = scheduler.namespace
        self._allowed = AllowList(allowed)
        self._urls = dict(urls or {})
        for job_id, url in self._urls.items():
            self._check(url, field=f"urls.{job_id}")
        self._key = key
        self._refused: dict[str, None] = {}
        self._sender = Sender(self._allowed, None, options, clock=clock)
        self._outlet = Outlet(
            "dead-man",
            poster(self._sender),
            at_once=8,
            lane_of=lambda item: str(item.get("lane", "")),
            give_up=give_up,
            pause=pause,
            tell=teller(scheduler),
            clock=clock,
        )
        self._offs = (
            scheduler.on("run_started", self._started),
            scheduler.on("recorded", self._recorded),
        )

    @property
    def counts(self) -> Counts:
        """What became of the pings."""
        return self._outlet.counts

    # -- what is heard -----------------------------------------------------------

    def _started(self, event: Event) -> None:
        context = event.data["context"]
        if context.attempt == 1:
            self._ping(context.job, context.firing_id, "/start", "")

    def _recorded(self, event: Event) -> None:
        recorded = event.data["recorded"]
        entry: LedgerEntry = recorded.entry
        if entry.run is not None:
            if entry.run.final and entry.run.outcome is not None:
                word = _ENDS.get(entry.run.outcome, "/fail")
                self._ping(recorded.job, entry.run.firing.id, word, _why(entry.run))
        elif entry.kind is RowKind.MISSED:
            text = f"missed: {entry.count} slots from {entry.first} to {entry.last}"
            self._ping(recorded.job, f"{entry.job_id}/{entry.first}", "/fail", text)

    def _ping(self, job: Job | None, firing_id: str, word: str, text: str) -> None:
        if job is None:
            return
        url = self._urls.get(job.id, job.meta.get(self._key))
        if url is None:
            return
        try:
            base = self._check(url)
        except ConfigurationError as error:
            if job.id not in self._refused:
                if len(self._refused) >= _TOLD:
                    del self._refused[next(iter(self._refused))]
                self._refused[job.id] = None
                log.warning(
                    "the dead-man URL of %s cannot be pinged: %s",
                    job.id,
                    error,
                    extra={"action": "deadman_refused", "job_id": job.id},
                )
            return
        which = f"{self._namespace}/{firing_id}"
        rid = uuid.uuid5(uuid.NAMESPACE_URL, which)
        self._outlet.put(
            {
                "url": f"{base}{word}?rid={rid}",
                "id": message_id(f"{which}{word or '/success'}"),
                "lane": job.id,
                "body": text,
            }
        )

    def _check(self, url: object, *, field: str = "meta") -> str:
        """Return a URL in its one form.

        Raises:
            ConfigurationError: It is not allowed, or has a query.
        """
        parts, _ = self._allowed.find(url, field=field)
        if parts.query:
            raise ConfigurationError(field, url, "has a query", "leave it out")
        return parts_of(field, parts.url).url.rstrip("/")

    # -- life --------------------------------------------------------------------

    async def flush(self) -> None:
        """Wait until every ping has been taken, however long that takes."""
        await self._outlet.flush()

    async def close(self, grace: float = 5.0) -> None:
        """Stop listening, and send what waits for so many seconds; safe to repeat."""
        for off in self._offs:
            off()
        await self._outlet.close(grace)
        await self._sender.close()

    async def __aenter__(self) -> Self:
        """Do nothing yet: it listens since it was built."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()


def _why(run: Run) -> str:
    """Return what a failure is called; messages may hold what is not for others."""
    if run.outcome is Outcome.SUCCEEDED or run.outcome is None:
        return ""
    error = "" if run.error is None else f" {run.error.type}"
    reason = f" ({run.reason.value})" if run.reason else ""
    return f"{run.outcome.value}{reason}{error}, attempt {run.attempt}"
