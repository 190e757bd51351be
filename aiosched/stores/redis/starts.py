"""Runs that begin are given their arguments and payload, wherever these lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from aiosched.records import Apart, Blob, Change
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.writes import blob_names

__all__ = ["fetch_starts", "fill_starts"]


def fill_starts(
    link: Link,
    shard: int,
    changes: Mapping[str, Change],
    found: Mapping[str, bytes | None],
) -> None:
    """Replace what is apart in the starts of committed changes by its bytes.

    What is missing is reported and stays apart; its run must end as one that
    cannot be resolved.
    """

    def resolved(blob: Blob) -> Blob:
        if not isinstance(blob, Apart):
            return blob
        data = found.get(blob.key)
        if data is None:
            key = f"{link.keys.tags[shard]}:{blob.key}"
            link.unreadable(key, "is missing and a record names it")
            return blob
        return data

    for change in changes.values():
        if any(blob_names(start) for start in change.starts):
            change.starts = tuple(
                [
                    replace(
                        start,
                        definition=replace(
                            start.definition,
                            arguments=resolved(start.definition.arguments),
                        ),
                        run=replace(
                            start.run,
                            firing=replace(
                                start.run.firing,
                                payload=resolved(start.run.firing.payload),
                            ),
                        ),
                    )
                    for start in change.starts
                ]
            )


async def fetch_starts(link: Link, shard: int, changes: Mapping[str, Change]) -> None:
    """Do the same with a read of its own.

    Raises:
        StoreUnavailableError: The bytes could not be read.
    """
    names = [
        name
        for change in changes.values()
        for start in change.starts
        for name in blob_names(start)
    ]
    if names:
        tag = link.keys.tags[shard]
        (data,) = await link.ask([("MGET", *[f"{tag}:{name}" for name in names])])
        fill_starts(link, shard, changes, dict(zip(names, data, strict=True)))
