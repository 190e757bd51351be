"""What the driver and the server may say, as errors of our own.

A driver's exception never leaves the room: everything that can fail passes
through :func:`translated` or :func:`refusal`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from redis import exceptions as driver

from aiosched.errors import (
    ConfigurationError,
    StoreDataError,
    StoreError,
    StoreUnavailableError,
)
from aiosched.stores.redis.tls import tls_refused

__all__ = [
    "FAILURES",
    "SECRETS",
    "SentinelError",
    "denied",
    "hung_up",
    "no_handshake",
    "read_only",
    "refusal",
    "translated",
    "unechoed",
    "wrong_type",
]

FAILURES = (driver.RedisError, OSError, TimeoutError)
"""What an exchange with a server may raise."""

SECRETS = ("password", "ssl_password")
"""Options of a connection that are to be seen nowhere."""

# By the first word of the server's answer; redis-py strips it from some.
_TRANSIENT = {
    "ASK",
    "BUSY",
    "CLUSTERDOWN",
    "FAILOVER",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "MOVED",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "UNBLOCKED",
}
_TRANSIENT_CLASSES = {
    "AskError",
    "ClusterDownError",
    "MasterDownError",
    "MovedError",
    "OutOfMemoryError",
    "ReadOnlyError",
    "TryAgainError",
}
_ECHO = re.compile(r",? with args beginning with.*", re.DOTALL)
"""What a server repeats of a command that it does not know."""
_LONG = 6
"""Characters of a secret that is found within other words, too."""
_DISCARDED = "Transaction discarded because of: "
_CLUSTER = {"AskError", "ClusterCrossSlotError", "MovedError"}
_TIMEOUTS = (driver.TimeoutError, TimeoutError)
_DENIALS = (
    driver.AuthenticationError,
    driver.AuthorizationError,
    driver.NoPermissionError,
)


class SentinelError(driver.ConnectionError):
    """The sentinels do not say where the master is, or say it wrongly.

    Attributes:
        problem: What is wrong.
        remedy: What to do; empty: it passes by itself.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        """Take problem and remedy."""
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


def unechoed(error: BaseException, secrets: Iterable[str] = ()) -> None:
    """Cut from an error, and from all behind it, what a server repeats of a command.

    A server or proxy that does not know AUTH says what it was sent, and drivers
    carry that into the text of their errors.

    Args:
        error: What the driver raised or returned; it is changed.
        secrets: What is to be seen nowhere.
    """
    hidden = [_within(one) for one in secrets if one]
    parts: list[BaseException] = [error]
    for part in parts:
        part.args = tuple(_cut(one, hidden) for one in part.args)
        behind = (part.__cause__, part.__context__)
        parts += [one for one in behind if one is not None and one not in parts]


def _within(secret: str) -> re.Pattern[str]:
    text = re.escape(secret)
    # A short one may be a part of any word.
    return re.compile(text if len(secret) >= _LONG else rf"(?<!\w){text}(?!\w)")


def _cut(said: object, hidden: Iterable[re.Pattern[str]]) -> object:
    if isinstance(said, bytes):
        text = said.decode(errors="replace")
        cut = _cut(text, hidden)
        return said if cut == text else cut
    if not isinstance(said, str):
        return said
    said = _ECHO.sub("", said)
    for one in hidden:
        said = one.sub("***", said)
    return said


def translated(error: BaseException, place: str) -> StoreError:
    """Return our error for one that an exchange raised.

    Args:
        error: One of :data:`FAILURES`.
        place: The store's URL without its password.
    """
    if isinstance(error, driver.ResponseError):
        return refusal(error, place)
    if isinstance(error, _DENIALS):
        return StoreUnavailableError(f"{place} denies access: {error}")
    if isinstance(error, _TIMEOUTS):
        return StoreUnavailableError(f"{place} did not answer in time")
    if isinstance(error, driver.BusyLoadingError):
        return StoreUnavailableError(f"{place} is loading its data")
    if isinstance(error, driver.InvalidResponse):
        return StoreUnavailableError(f"{place} does not speak Redis: {error}")
    if isinstance(error, (driver.ConnectionError, OSError)):
        return StoreUnavailableError(f"{place} cannot be reached: {error}")
    return StoreError(f"{place} could not be used: {error}")


def hung_up(error: BaseException) -> bool:
    """Return whether a server has closed the connection.

    It has not where it hangs, nor where it refuses: redis-py raises these
    refusals as errors of the connection.
    """
    still_there = (*_DENIALS, *_TIMEOUTS, driver.BusyLoadingError)
    closed = isinstance(error, (driver.ConnectionError, OSError))
    return closed and not isinstance(error, still_there)


def no_handshake(place: str) -> str:
    """Return why a server that took the connection may say nothing on it."""
    if place.startswith("rediss"):
        return (
            f"{place} did not answer in time; if this port does not speak TLS, "
            "write redis instead of rediss"
        )
    return f"{place} did not answer in time"


def refusal(error: Exception, place: str, key: str = "") -> StoreError:
    """Return our error for an error that the server answered.

    Args:
        error: The answer.
        place: The store's URL without its password.
        key: What the command was about, if that is known.
    """
    # Refused at EXEC itself, for what all its commands would have done.
    word = str(error).removeprefix(_DISCARDED).partition(" ")[0]
    name = type(error).__name__
    if wrong_type(error):
        return StoreDataError(key or place, f"a key is of another type ({error})")
    if word in _TRANSIENT or name in _TRANSIENT_CLASSES:
        return StoreUnavailableError(f"{place} refuses for now: {error}")
    if isinstance(error, _DENIALS) or word in {"NOAUTH", "NOPERM", "WRONGPASS"}:
        what = f" to {key}" if key else ""
        return StoreUnavailableError(f"{place} denies access{what}: {error}")
    return StoreError(f"{place} refused a command: {error}")


def read_only(reply: object) -> bool:
    """Return whether a reply says that the server takes no writes, being a replica."""
    return isinstance(reply, driver.ReadOnlyError) or (
        isinstance(reply, driver.ResponseError)
        and str(reply).removeprefix(_DISCARDED).startswith("READONLY")
    )


def wrong_type(error: object) -> bool:
    """Return whether a reply says that a key holds something of another type."""
    return isinstance(error, driver.ResponseError) and str(error).startswith(
        "WRONGTYPE"
    )


def denied(
    error: BaseException, place: str, said: str = ""
) -> ConfigurationError | None:
    """Return an error if waiting cannot help: wrong password, wrong server.

    Asked when a session is opened; later the same answers count as transient,
    because passwords and topologies are changed while peers run.

    Args:
        error: What the driver raised.
        place: The store's URL without its password.
        said: What we have made of it, which may know more.
    """
    if isinstance(error, SentinelError):
        if not error.remedy:
            return None
        return ConfigurationError("store", place, error.problem, error.remedy)
    word = str(error).partition(" ")[0]
    if isinstance(error, _DENIALS) or word in {"NOAUTH", "NOPERM", "WRONGPASS"}:
        return ConfigurationError(
            "store",
            place,
            f"the server {said.removeprefix(place).strip()}"
            if "denies access" in said
            else f"the server denies access ({error})",
            "correct user name and password, or give the user this right",
        )
    refused = tls_refused(error, place)
    if refused is not None:
        return refused
    if "unknown command" in str(error).lower() and "sentinel" not in place:
        return ConfigurationError(
            "store",
            place,
            f"the server does not know a command ({error})",
            "use Redis 6.2 or Valkey 7.2, or later; if this is the port of a sentinel, "
            "write redis+sentinel://host,host/name",
        )
    if type(error).__name__ in _CLUSTER and "+cluster:" not in place:
        return ConfigurationError(
            "store",
            place,
            "this server is part of a Redis Cluster",
            "write redis+cluster:// (or rediss+cluster://) and leave out the database",
        )
    if "cluster support disabled" in str(error):
        return ConfigurationError(
            "store",
            place,
            "this server is no part of a Redis Cluster",
            "write redis:// (or rediss://)",
        )
    if "invalid DB index" in str(error) or "DB index is out of range" in str(error):
        return ConfigurationError(
            "store",
            place,
            f"the server has no such database ({error})",
            "correct the number in the URL",
        )
    return None
