"""Listings: every record of a namespace, page by page, over its agendas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from aiosched.abc import Page
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.reading import MAX_READ, known_queues, read

__all__ = ["list_page"]

_MOST_AGENDAS = 32


class _Place(NamedTuple):
    """Where a listing goes on.

    Within one step of a scan ids are given out in order, so that a step can be
    taken again: ``last`` is the last id of it that was given out.
    """

    shard: int
    queue: str
    scan: str
    last: str

    def text(self) -> str:
        return f"{self.shard}:{self.scan}:{len(self.queue)}:{self.queue}{self.last}"


def _place(cursor: str) -> _Place:
    try:
        shard, scan, size, rest = cursor.split(":", 3)
        cut = int(size)
        place = _Place(int(shard), rest[:cut], str(int(scan)), rest[cut:])
    except ValueError:
        raise ValueError(f"{cursor!r} is no cursor of this store") from None
    return place


async def list_page(link: Link, cursor: str | None, limit: int) -> Page:
    """Do what :meth:`aiosched.abc.Session.list` promises, over the agendas."""
    if limit < 1:
        raise ValueError(f"a page of {limit} records shows nothing")
    limit = min(limit, MAX_READ)
    place = None if cursor is None else _place(cursor)
    queues = sorted(await known_queues(link) or link.queues)
    if place is None:
        if not queues:
            return Page((), None)
        place = _Place(0, queues[0], "0", "")
    ids: dict[str, None] = {}
    width = 1
    following: _Place | None = place
    while following is not None and len(ids) < limit:
        following = await _scan(link, queues, following, ids, limit, width)
        width = min(2 * width, _MOST_AGENDAS)
    records = await read(link, list(ids))
    text = None if following is None else following.text()
    return Page(tuple(records.values()), text)


async def _scan(
    link: Link,
    queues: Sequence[str],
    place: _Place,
    ids: dict[str, None],
    limit: int,
    width: int,
) -> _Place | None:
    """Take one step in each of the next agendas; return where to go on.

    Agendas are mostly small and many, so that several are asked at once; what
    no longer fits the page is read again for the next one.
    """
    places = [place]
    while len(places) < width:
        after = _next_agenda(link, queues, places[-1])
        if after is None:
            break
        places.append(after)
    keys = [link.keys.agenda(one.shard, one.queue) for one in places]
    replies = await link.ask(
        [
            ("ZSCAN", key, one.scan, "COUNT", limit)
            for key, one in zip(keys, places, strict=True)
        ],
        lenient=True,
    )
    for one, key, reply in zip(places, keys, replies, strict=True):
        if isinstance(reply, Exception):
            link.unreadable(key, f"is no agenda: {reply}")
            continue
        scan, pairs = reply[0].decode(), reply[1]
        names = sorted(link.texts(key, pairs[::2]))
        names = [name for name in names if name > one.last] if one.last else names
        room = limit - len(ids)
        ids.update(dict.fromkeys(names[:room]))
        if len(names) > room:
            last = names[room - 1] if room else one.last
            return one._replace(last=last)
        if scan != "0":
            return one._replace(scan=scan, last="")
    return _next_agenda(link, queues, places[-1])


def _next_agenda(link: Link, queues: Sequence[str], place: _Place) -> _Place | None:
    """Return the start of the agenda after this one, shard by shard.

    By name, not by number: queues may come while a listing is under way.
    """
    for queue in queues:
        if queue > place.queue:
            return _Place(place.shard, queue, "0", "")
    if place.shard + 1 < link.terms.shards and queues:
        return _Place(place.shard + 1, queues[0], "0", "")
    return None
