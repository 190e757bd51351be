"""The Redis store as the port wants it; the parts do the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiosched.abc import (
    MAX_BATCH,
    Beat,
    Counters,
    Decide,
    ExecutorInfo,
    Guarded,
    GuardStep,
    Head,
    JobStore,
    Mended,
    Page,
    Pulse,
    Report,
    RowPage,
    Session,
    Terms,
)
from aiosched.clock import Clock, IdSource, SystemClock, random_id
from aiosched.errors import ConfigurationError, StoreError
from aiosched.records import Change, Record
from aiosched.stores.guards import Asked
from aiosched.stores.redis import ledger, members, meta, reading
from aiosched.stores.redis.cluster import Cluster
from aiosched.stores.redis.connection import Factory, Wiring, plainly
from aiosched.stores.redis.failures import denied
from aiosched.stores.redis.guards import guard
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.listing import list_page
from aiosched.stores.redis.mend import IndexWalk
from aiosched.stores.redis.sentinel import Sentinels
from aiosched.stores.redis.signals import RedisSignalStream
from aiosched.stores.redis.sweep import sweep
from aiosched.stores.redis.timing import instant_of
from aiosched.stores.redis.topology import Topology
from aiosched.stores.redis.transact import transact
from aiosched.stores.redis.urls import Address, parse_url

__all__ = ["RedisJobStore", "RedisSession"]

_SAMPLES = 4
_POLICY = "maxmemory-policy"


class RedisJobStore(JobStore):
    """Keeps jobs on one Redis (6.2 or later) or Valkey (7.2 or later) server.

    Sessions may be opened on loops of several threads.

    Args:
        url: ``redis://[user:password@]host[:port][/db]``, ``rediss://…`` (with
            ``ssl_ca_certs=`` and the like), ``unix:///path?db=0``,
            ``redis+cluster://host,host`` or
            ``redis+sentinel://host,host/master[/db]``.
        connection_factory: Builds a connection of redis-py that is not yet
            connected, from the keyword arguments that its connection classes
            take; None: the class that fits the URL.
        socket_connect_timeout: Seconds for connecting and logging in.
        exchange_timeout: Seconds for one packet and all its replies.
        lanes: Transactions at a time; each has a connection of its own.
        resolve_timeout: Seconds for which the outcome of a transaction whose
            connection broke is pursued while the store is away.
        clock: Tells monotonic time and sleeps; None: the running loop's.
        ids: Draws identities and the jitter of pauses.
    """

    threadable = True

    def __init__(
        self,
        url: str,
        *,
        connection_factory: Factory | None = None,
        socket_connect_timeout: float = 3.0,
        exchange_timeout: float = 5.0,
        lanes: int = 4,
        resolve_timeout: float = 30.0,
        clock: Clock | None = None,
        ids: IdSource = random_id,
    ) -> None:
        """Check the arguments; no I/O, and no loop need be running.

        Raises:
            ConfigurationError: One of them cannot be right; passwords in the
                URL are masked.
        """
        self._address = parse_url(url)
        _check_positive("socket_connect_timeout", socket_connect_timeout)
        _check_positive("exchange_timeout", exchange_timeout)
        _check_positive("resolve_timeout", resolve_timeout)
        if type(lanes) is not int or lanes < 1:
            raise ConfigurationError(
                "lanes", lanes, "is no number of connections", "give at least 1"
            )
        self._factory = connection_factory
        self._connect_timeout = socket_connect_timeout
        self._exchange_timeout = exchange_timeout
        self._resolve_timeout = resolve_timeout
        self._lanes = lanes
        self._clock: Clock = SystemClock() if clock is None else clock
        self._ids = ids

    def __repr__(self) -> str:
        """Name the server, without secrets."""
        return f"RedisJobStore({self._address.shown!r})"

    @plainly
    async def open(
        self,
        namespace: str,
        terms: Mapping[str, Any],
        *,
        report: Report | None = None,
    ) -> RedisSession:
        """Open a session on a namespace, creating it if it is new.

        Args:
            namespace: 1 to 100 printable characters without braces.
            terms: Fields of :class:`~aiosched.abc.Terms` to insist on.
            report: Called with (key, problem) for what cannot be read, and for
                a server that may evict keys.

        Raises:
            ConfigurationError: ``terms`` contradict the stored ones, the
                namespace cannot be part of a key, or the server refuses the
                user or the database.
            StoreUnavailableError: Calling again is safe.
            StoreDataError: The namespace's own description is garbage.
        """
        link = self.link(namespace, report)
        try:
            link.agree(await meta.agree(link, terms))
            await _look_around(link)
        except StoreError as error:
            await link.close()
            cause = error.__cause__ or error
            never = denied(cause, link.place, str(error))
            if never is not None:
                raise never from error
            raise
        except BaseException:
            await link.close()
            raise
        return RedisSession(link)

    def link(self, namespace: str, report: Report | None = None) -> Link:
        """Return connections to a namespace that are not connected yet.

        For :meth:`open`, and for those who examine a namespace from outside.

        Raises:
            ConfigurationError: The namespace cannot be part of a key.
        """
        address = self._address
        wiring = Wiring(
            address,
            self._factory,
            self._connect_timeout,
            self._exchange_timeout,
            Counters(),
            _topology(address),
        )
        return Link(
            wiring,
            namespace,
            lanes=self._lanes,
            clock=self._clock,
            ids=self._ids,
            report=report,
            patience=self._resolve_timeout,
        )


def _topology(address: Address) -> Topology:
    if address.seeds:
        return Cluster(address.seeds)
    return Sentinels(address) if address.sentinels else Topology()


def _check_positive(field: str, value: object) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not value > 0:  # type: ignore[operator]
        raise ConfigurationError(
            field, value, "is no length of time", "give seconds above 0"
        )


async def _look_around(link: Link) -> None:
    """Learn the queues and the time, and whether the server keeps what it is given."""
    link.queues = set(await reading.queue_names(link))
    for _ in range(_SAMPLES):
        await link.ask([("TIME",)])
    for policy in await link.ask_each(("CONFIG", "GET", _POLICY)):
        # Managed servers mostly refuse CONFIG; then there is nothing to be said.
        if isinstance(policy, list) and len(policy) == 2 and policy[1] != b"noeviction":
            link.tell(
                _POLICY,
                f"is {policy[1].decode()}: under memory pressure the server would "
                "delete jobs; set it to noeviction",
            )
            break


class RedisSession(Session):
    """One peer's connections to one namespace; see :class:`aiosched.abc.Session`."""

    def __init__(self, link: Link) -> None:
        """Take over an open link."""
        self._link = link
        self._streams: set[RedisSignalStream] = set()
        self._walk = IndexWalk(link)
        self._closed = False
        self.terms: Terms = link.terms
        self.counters: Counters = link.counters
        self.spanning: bool = link.spanning

    @plainly
    async def transact(
        self,
        ids: Sequence[str],
        decide: Decide,
        *,
        claim: bool = False,
        signal: bool = True,
        urgent: bool = False,
    ) -> dict[str, Change]:
        """Apply a pure decision to records of one shard, atomically."""
        return await transact(
            self._link, ids, decide, claim=claim, signal=signal, urgent=urgent
        )

    @plainly
    async def read(self, ids: Sequence[str]) -> dict[str, Record]:
        """Return records; see the port."""
        return await reading.read(self._link, ids)

    @plainly
    async def list(self, *, cursor: str | None = None, limit: int = 100) -> Page:
        """Return a page of all records; see the port."""
        return await list_page(self._link, cursor, limit)

    @plainly
    async def agenda(
        self,
        heads: Sequence[tuple[int, str]],
        *,
        limit: int = MAX_BATCH,
        partial: bool = False,
    ) -> Sequence[Head]:
        """Return the first entries of agendas; see the port."""
        return await reading.agenda(self._link, heads, limit, partial=partial)

    @plainly
    async def by_keyword(self, keyword: str) -> Sequence[str]:
        """Return the subscribers of a keyword; see the port."""
        return await reading.by_keyword(self._link, keyword)

    @plainly
    async def ledger(
        self,
        job_id: str | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> RowPage:
        """Return ledger rows, newest first; see the port."""
        wanted = ledger.Wanted(job_id, since, until, limit, cursor)
        return await ledger.rows(self._link, wanted)

    @plainly
    async def beat(self, beat: Beat) -> Pulse:
        """Say that a peer lives; see the port."""
        return await members.beat(self._link, beat)

    @plainly
    async def advertise(self, executors: Sequence[ExecutorInfo]) -> None:
        """Tell others which executors exist; see the port."""
        await members.advertise(self._link, executors)

    @plainly
    async def catalogue(self) -> dict[str, ExecutorInfo]:
        """Return advertised executors; see the port."""
        return await members.catalogue(self._link)

    @plainly
    async def guard(
        self, step: GuardStep, name: str, token: str, *, owner: str = "", ttl: int = 0
    ) -> Guarded:
        """Take, extend or release a guarded name; see the port."""
        return await guard(self._link, Asked(step, name, token, owner, ttl))

    def signals(self) -> RedisSignalStream:
        """Return a new subscription, to nothing yet."""
        if self._closed:
            raise StoreError("this session is closed; open another one")
        stream = RedisSignalStream(self._link, self._streams.discard)
        self._streams.add(stream)
        return stream

    @plainly
    async def now(self) -> int:
        """Ask the store what time it is."""
        (time,) = await self._link.ask([("TIME",)])
        return instant_of(time)

    def estimate(self) -> int:
        """Return the store's instant without asking; see the port."""
        return self._link.estimate()

    @plainly
    async def sweep(self) -> int:
        """Delete what no record uses; return how many keys went."""
        return await sweep(self._link)

    @plainly
    async def mend(self) -> Mended:
        """Put some of the index right; see the port."""
        return await self._walk.step()

    async def close(self) -> None:
        """Release connections; safe to call twice.

        A commit that is on its way is waited for.
        """
        if self._closed:
            return
        self._closed = True
        for stream in tuple(self._streams):
            await stream.aclose()
        await self._link.close()
