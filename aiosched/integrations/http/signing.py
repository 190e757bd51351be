"""Signatures of requests, by the Standard Webhooks specification.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
(version 1.0.0): three headers,

- ``webhook-id``: names the message, the same whenever it is sent again;
- ``webhook-timestamp``: seconds since 1970, of this sending;
- ``webhook-signature``: ``v1,`` and the base64 of HMAC-SHA256 over
  ``id.timestamp.body``; several, separated by blanks, while keys are replaced.

Secrets are written ``whsec_`` and base64, 24 to 64 bytes.  Any library for that
specification verifies what is sent here.

What is signed is the message and not the request: method, path and other headers
are not.  So each receiver gets a secret of its own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from aiosched.errors import ConfigurationError

__all__ = [
    "ID",
    "SIGNATURE",
    "TIMESTAMP",
    "TOLERANCE",
    "Secret",
    "SignatureError",
    "message_id",
    "signature",
    "verify",
]

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
TOLERANCE = 300
"""Seconds that a timestamp may lie in the past or in the future."""
_PREFIX = "whsec_"
_LEAST_KEY, _MOST_KEY = 24, 64
_MOST_ID = 500


class SignatureError(Exception):
    """A message that is not to be believed; the text says why, and holds no secret."""


class Secret:
    """A secret that shows itself to nobody, with those that it replaces.

    The first signs; when verifying, each of them will do.
    """

    __slots__ = ("_texts",)

    def __init__(self, current: str, *previous: str) -> None:
        """Take the text of a secret, and of older ones that are still accepted.

        Raises:
            ConfigurationError: One is no text, or empty; it is not shown.
        """
        given: tuple[object, ...] = (current, *previous)
        for text in given:
            if not isinstance(text, str) or not text or "\n" in text or "\r" in text:
                raise ConfigurationError(
                    "secret", "<hidden>", "is no line of text", "give the secret's text"
                )
        self._texts = (current, *previous)

    @property
    def text(self) -> str:
        """The text of the current one."""
        return self._texts[0]

    def texts(self) -> tuple[str, ...]:
        """Return the texts of all, the current one first."""
        return self._texts

    def keys(self) -> tuple[bytes, ...]:
        """Return the keys for signatures, the current one first.

        Raises:
            ConfigurationError: One is not ``whsec_`` and base64 of 24 to 64 bytes;
                it is not shown.
        """
        return tuple(map(_key, self._texts))

    def __repr__(self) -> str:
        return "<Secret>"

    def __reduce__(self) -> str | tuple[object, ...]:
        message = "a Secret is not to be stored"
        raise TypeError(message)


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(_PREFIX) or not _LEAST_KEY <= len(key) <= _MOST_KEY:
        raise ConfigurationError(
            "secret",
            "<hidden>",
            "is no key for signatures",
            f'write "{_PREFIX}" and the base64 of {_LEAST_KEY} to {_MOST_KEY} random '
            "bytes",
        )
    return key


def message_id(name: str) -> str:
    """Return a name as an id of messages: printable ASCII without dot and quote.

    A dot would leave open where the id ends in what is signed.  One that would be
    longer than 500 characters becomes its SHA-256.
    """
    written = quote(name, safe="/:@~_-").replace(".", "%2E")
    if len(written) <= _MOST_ID:
        return written
    return hashlib.sha256(name.encode()).hexdigest()


def signature(key: bytes, message: str, timestamp: int | str, body: bytes) -> str:
    """Return the signature of a message by one key."""
    signed = f"{message}.{timestamp}.".encode() + body
    made = hmac.new(key, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(made).decode()}"


def verify(
    keys: Iterable[bytes],
    headers: Mapping[str, str],
    body: bytes,
    now: float,
    *,
    tolerance: float = TOLERANCE,
) -> str:
    """Check a message.

    Every signature is compared with that of every key, in constant time.

    Args:
        keys: Any of which may have signed it.
        headers: With names in lower case.
        body: As it came.
        now: Seconds since 1970.
        tolerance: Seconds that its timestamp may be away from now.

    Returns:
        Its id.

    Raises:
        SignatureError: It is not to be believed.
    """
    message, stamp = headers.get(ID, ""), headers.get(TIMESTAMP, "")
    if not message or not stamp or not headers.get(SIGNATURE):
        raise SignatureError(f"it needs the headers {ID}, {TIMESTAMP} and {SIGNATURE}")
    if "." in message or not message.isascii() or len(message) > 2_000:
        raise SignatureError(f"its {ID} is none that can be told from what follows")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise SignatureError(f"its {TIMESTAMP} is no number of seconds")
    given = [one.encode() for one in headers[SIGNATURE].split(" ")[:20]]
    good = False
    for key in keys:
        right = signature(key, message, stamp, body).encode()
        for one in given:
            good |= hmac.compare_digest(one, right)
    if not good:
        raise SignatureError("no signature fits a key that is known here")
    # After the signature, so that nobody learns the clock by guessing.
    if abs(now - int(stamp)) > tolerance:
        raise SignatureError(f"its {TIMESTAMP} is more than {tolerance:g} s away")
    return message
