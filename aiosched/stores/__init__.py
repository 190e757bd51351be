"""Where jobs are kept, and how a store is named.

No store is imported before it is asked for: ``import aiosched.stores`` does
not import redis.
"""

from __future__ import annotations

import re

from aiosched.abc import JobStore
from aiosched.errors import ConfigurationError
from aiosched.stores.memory import MemoryJobStore

__all__ = ["MemoryJobStore", "masked", "open_store"]

_REMEDY = (
    'pass a JobStore, or a URL such as "memory://", "redis://localhost:6379/0", '
    '"rediss://host", "unix:///path/to/socket", "redis+cluster://host,host" or '
    '"redis+sentinel://host,host/master"'
)
_NAMED = re.compile(r"\b(\w+)=")
_SECRETS = ("username", "token", "secret")
_REDIS = (
    "redis",
    "rediss",
    "unix",
    "redis+cluster",
    "rediss+cluster",
    "redis+sentinel",
    "rediss+sentinel",
)


def open_store(store: str | JobStore) -> JobStore:
    """Return the store that a URL names; a store is returned as it is.

    Does no I/O: the server is first spoken to when a scheduler starts.

    Args:
        store: A store, or one of ``memory://`` (a new and empty one at each
            call), ``redis://``, ``rediss://``, ``unix://``, ``redis+cluster://``,
            ``rediss+cluster://``, ``redis+sentinel://`` and
            ``rediss+sentinel://``.

    Raises:
        ConfigurationError: Nothing that names a store; field ``store``, and a
            value whose passwords are masked.
    """
    if isinstance(store, JobStore):
        return store
    if not isinstance(store, str):
        raise _refused(store, "is neither a store nor a URL")
    scheme, mark, rest = store.partition("://")
    if not mark:
        raise _refused(masked(store), "is no URL")
    if scheme == "memory":
        if rest:
            raise _refused(masked(store), "memory:// takes no address")
        return MemoryJobStore()
    if scheme not in _REDIS:
        raise _refused(masked(store), f"no store is known for {masked(scheme)}://")
    from aiosched.stores.redis.store import RedisJobStore

    return RedisJobStore(store)


def masked(url: str) -> str:
    """Return a URL with everything that may be secret replaced by ``***``.

    Made for messages: what is left need not be a valid URL, and where it is
    unclear what belongs to a password, too much is replaced.
    """
    shown = url
    for match in _NAMED.finditer(url):
        name = match[1].lower()
        if "pass" in name or name.endswith(_SECRETS):
            shown = f"{url[: match.end()]}***"
            break
    scheme, mark, rest = shown.partition(":")
    if "@" in rest:
        slashes = "//" if rest.startswith("//") else ""
        rest = f"{slashes}***@{rest.rpartition('@')[2]}"
    elif "@" in shown:
        return f"***@{shown.rpartition('@')[2]}"
    return f"{scheme}{mark}{rest}"


def _refused(value: object, problem: str) -> ConfigurationError:
    return ConfigurationError("store", value, problem, _REMEDY)
