"""Webhooks: what this peer has recorded, told to receivers by signed requests."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiosched._engine.events import Event
from aiosched.clock import Clock
from aiosched.delivery import Counts, Outlet, RefusedError, Spool, teller
from aiosched.delivery.facts import TYPES, fact_of, fact_type
from aiosched.errors import ConfigurationError, JobNotFoundError
from aiosched.instants import micros
from aiosched.integrations.http.sender import (
    HttpOptions,
    HttpStatusError,
    Outgoing,
    Sender,
)
from aiosched.integrations.http.signing import Secret, message_id
from aiosched.integrations.http.urls import AllowList, Target, parts_of
from aiosched.jobs import Job, LedgerEntry
from aiosched.scheduler import Scheduler

__all__ = ["OUTCOMES", "Webhook", "Webhooks", "post"]

OUTCOMES = tuple(sorted(one for one in TYPES if one.startswith("run.")))
"""The one outcome of each firing."""
_ITS_FAULT = (400, 410, 413, 422)
"""Answers that say that it is the message which is at fault, or unwanted for ever."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """One receiver, and what it is told.

    Attributes:
        url: To which messages are posted; without a query.
        sign: Name of the secret by which they are signed; None: they are not.
        types: Of these types, such as ``run.failed``; ``slots.missed`` and all
            outcomes unless it is given.
        tags: Only of jobs that carry one of these; none: of all.
        results: Whether results and messages of errors are said.
        headers: Added to each request; ``${name}`` stands for a named secret.
        name: For logs and events; the host unless it is given.
    """

    url: str
    sign: str | None = None
    types: tuple[str, ...] = (*OUTCOMES, "slots.missed")
    tags: tuple[str, ...] = ()
    results: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ConfigurationError: One cannot be used.
        """
        parts = parts_of("url", self.url)
        given: object = self.types
        unknown = [one for one in self.types if one not in TYPES]
        if unknown or isinstance(given, str):
            raise ConfigurationError(
                "types", unknown or self.types, "are none", f"use {sorted(TYPES)}"
            )
        object.__setattr__(self, "types", tuple(self.types))
        object.__setattr__(self, "tags", tuple(self.tags))
        object.__setattr__(self, "name", self.name or f"webhook {parts.host}")

    def wants(self, kind: str, job: Job | None) -> bool:
        """Tell whether a fact is one that the receiver is told."""
        if kind not in self.types:
            return False
        return not self.tags or (job is not None and bool(set(self.tags) & {*job.tags}))


class Webhooks:
    """Tells receivers what one peer records: each row by the peer that wrote it.

    At least once while this process lives, and beyond it with ``spool``; in the
    order of each job.  A message carries the same ``webhook-id`` whenever it is
    sent again, also by :meth:`replay`.

    Use it around the scheduler: ``async with Webhooks(scheduler, ...), scheduler:``.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        hooks: Iterable[Webhook | str],
        *,
        secrets: Mapping[str, Secret | str] | None = None,
        options: HttpOptions | None = None,
        spool: str | os.PathLike[str] | None = None,
        limit: int = 10_000,
        at_once: int = 4,
        give_up: float | None = 86_400.0,
        pause: float = 0.5,
        clock: Clock | None = None,
    ) -> None:
        """Begin to listen; nothing is sent before there is something to tell.

        Args:
            scheduler: The peer, started or not.
            hooks: Receivers; a text is one that is told unsigned.
            secrets: By name, for ``sign`` and headers.
            options: Bounds of a request.
            spool: Folder for what cannot be sent now, of this peer alone; None:
                it is kept in memory only.
            limit: Messages in memory for each receiver, at most.
            at_once: Requests to a receiver at a time, of different jobs.
            give_up: Seconds after which a message is dropped; None: never.
            pause: Seconds before the second try; doubled each time, up to 60.
            clock: For tests.

        Raises:
            ConfigurationError: Something cannot be used.
        """
        self._scheduler = scheduler
        given = [one if isinstance(one, Webhook) else Webhook(one) for one in hooks]
        targets = [Target(one.url, one.sign, one.headers) for one in given]
        self._senders = [
            Sender(AllowList([target]), secrets, options, clock=clock)
            for target in targets
        ]
        names = [one.name for one in given]
        urls = {one.url for one in given}
        if min(len(set(names)), len(urls)) < len(names):
            raise ConfigurationError(
                "hooks",
                names,
                "two have one name",
                'give them names: Webhook(name="…")',
            )
        self._outlets = [
            Outlet(
                hook.name,
                poster(sender),
                limit=limit,
                at_once=at_once,
                lane_of=_lane,
                give_up=give_up,
                pause=pause,
                spool=_spool_of(spool, hook.url),
                tell=teller(scheduler),
                clock=clock,
            )
            for hook, sender in zip(given, self._senders, strict=True)
        ]
        self.hooks: tuple[Webhook, ...] = tuple(given)
        self._off = scheduler.on("recorded", self._recorded)

    @property
    def counts(self) -> dict[str, Counts]:
        """What became of the messages, by the name of the receiver."""
        return {outlet.name: outlet.counts for outlet in self._outlets}

    @property
    def waiting(self) -> int:
        """Messages in memory that have not been taken yet."""
        return sum(outlet.waiting for outlet in self._outlets)

    def _recorded(self, event: Event) -> None:
        recorded = event.data["recorded"]
        self._tell(recorded.entry, recorded.job)

    def _tell(self, entry: LedgerEntry, job: Job | None) -> None:
        kind = fact_type(entry)
        for hook, outlet in zip(self.hooks, self._outlets, strict=True):
            if hook.wants(kind, job):
                data = fact_of(entry, job, results=hook.results)
                data["namespace"] = self._scheduler.namespace
                outlet.put(
                    {
                        "url": hook.url,
                        "id": self._id(entry),
                        "lane": entry.job_id,
                        "body": {
                            "type": kind,
                            "timestamp": entry.at.isoformat(),
                            "data": data,
                        },
                    }
                )

    def _id(self, entry: LedgerEntry) -> str:
        """Return the same id for the same row, whoever tells of it, and when."""
        slot = 0 if entry.first is None else micros(entry.first)
        which = entry.key or str(slot)
        return message_id(
            f"{self._scheduler.namespace}/{entry.job_id}/{which}/{entry.fence}/"
            f"{entry.kind.value}/{micros(entry.at)}"
        )

    async def replay(
        self, since: datetime, *, until: datetime | None = None, limit: int = 10_000
    ) -> int:
        """Tell again what the ledger says, oldest first, with the same ids.

        For what was recorded while nobody told of it, such as between a commit and
        the death of its peer.  Receivers pass over what they know.  Waits where a
        receiver is slower than the ledger is read.

        Args:
            since: An aware datetime.
            until: Up to it; None: until now.
            limit: Rows that are told, at most: the newest.

        Returns:
            How many rows were looked at.

        Raises:
            ConfigurationError: A bound that cannot be used.
            StoreUnavailableError: Calling again is safe.
        """
        page = await self._scheduler.history(since=since, until=until, limit=limit)
        jobs: dict[str, Job | None] = {}
        for entry in reversed(page):
            if entry.job_id not in jobs:
                jobs[entry.job_id] = await self._known(entry.job_id)
            self._tell(entry, jobs[entry.job_id])
            for outlet in self._outlets:
                await outlet.room()
        return len(page)

    async def _known(self, job_id: str) -> Job | None:
        try:
            return await self._scheduler.get_job(job_id)
        except JobNotFoundError:
            return None

    # -- life --------------------------------------------------------------------

    async def flush(self) -> None:
        """Wait until everything has been taken, however long that takes."""
        for outlet in self._outlets:
            await outlet.flush()

    async def close(self, grace: float = 5.0) -> None:
        """Stop listening, and send what waits for so many seconds; safe to repeat."""
        self._off()
        for outlet in self._outlets:
            await outlet.close(grace)
        for sender in self._senders:
            await sender.close()

    async def __aenter__(self) -> Self:
        """Begin to send what an earlier process has left."""
        for outlet in self._outlets:
            outlet.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()


def _lane(item: Mapping[str, Any]) -> str:
    return str(item.get("lane", ""))


def _spool_of(folder: str | os.PathLike[str] | None, url: str) -> Spool | None:
    """Return the spool of a receiver: the same after a restart, in any order."""
    if folder is None:
        return None
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(url.encode()).hexdigest()[:16]
    return Spool(path / f"webhook-{name}.jsonl")


def poster(sender: Sender) -> Any:
    """Return what posts items of an outlet."""

    async def send(item: Mapping[str, Any]) -> None:
        await post(sender, item)

    return send


async def post(sender: Sender, item: Mapping[str, Any]) -> None:
    """Post one item: its ``url``, its ``id``, its JSON ``body``.

    Raises:
        RefusedError: The receiver will never take it.
        AttemptError: It may take it later.
    """
    body, url, message = (item.get(name) for name in ("body", "url", "id"))
    if not isinstance(url, str) or not isinstance(message, str):
        raise RefusedError("what the spool holds is no message")
    text = (
        body
        if isinstance(body, str)
        else json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    )
    kind = "text/plain; charset=utf-8" if isinstance(body, str) else "application/json"
    data = text.encode(errors="backslashreplace")
    out = Outgoing("POST", url, message, data, content_type=kind)
    try:
        answer = await sender.send(out)
        sender.judge(out, answer)
    except ConfigurationError as error:
        raise RefusedError(str(error)) from None
    except HttpStatusError as error:
        if error.status in _ITS_FAULT:
            raise RefusedError(str(error)) from None
        raise
