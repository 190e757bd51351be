"""What TLS says when it fails, and what is to be done about it."""

from __future__ import annotations

from aiosched.errors import ConfigurationError

__all__ = ["advice", "tls_refused"]

_TABLE = (
    (
        ("CERTIFICATE_VERIFY_FAILED",),
        "the server's certificate is not accepted",
        "give the certificate of its authority as ssl_ca_certs=, and the host's name "
        "as the certificate has it",
    ),
    (
        ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"),
        "this port does not speak TLS",
        "name the port that does, or write redis instead of rediss",
    ),
    (
        (
            "ALERT_ACCESS_DENIED",
            "ALERT_BAD_CERTIFICATE",
            "ALERT_CERTIFICATE_EXPIRED",
            "ALERT_CERTIFICATE_REQUIRED",
            "ALERT_CERTIFICATE_UNKNOWN",
            "ALERT_UNKNOWN_CA",
            "ALERT_UNSUPPORTED_CERTIFICATE",
        ),
        "the server does not accept this client's certificate",
        "give one of an authority that it trusts as ssl_certfile= and ssl_keyfile=",
    ),
    (
        ("HANDSHAKE_FAILURE", "NO_SHARED_CIPHER", "UNSUPPORTED_PROTOCOL"),
        "client and server have no way of TLS in common",
        "let both speak TLS 1.2 or later",
    ),
    (
        (
            "BAD_DECRYPT",
            "Error 2 connecting",
            "Error 13 connecting",
            "KEY_VALUES_MISMATCH",
            "NO_CERTIFICATE_OR_CRL_FOUND",
            "NO_START_LINE",
            "PEM lib",
            "PEM_LIB",
            "[X509",
            "certfile should be",
        ),
        "a file of a certificate or key cannot be used",
        "correct ssl_ca_certs=, ssl_certfile=, ssl_keyfile= or ssl_password=",
    ),
)
_HANGING_UP = (
    "Broken pipe",
    "Connection closed by server",
    "Connection lost",
    "Connection reset by peer",
)


def tls_refused(error: BaseException, place: str) -> ConfigurationError | None:
    """Return an error if the handshake failed for something that stays.

    Args:
        error: What connecting raised.
        place: The store's URL without its password.
    """
    if not place.startswith("rediss"):
        return None
    said = str(error)
    for marks, problem, remedy in _TABLE:
        if any(mark in said for mark in marks):
            return ConfigurationError("store", place, f"{problem} ({said})", remedy)
    return None


def advice(error: BaseException, place: str) -> str:
    """Return what may be behind it, if a server hangs up on whoever is new.

    Nothing more certain is said: the same is seen of a server that ends.
    """
    if not any(mark in str(error) for mark in _HANGING_UP):
        return ""
    if place.startswith("rediss"):
        return "; if the server wants a certificate of its clients, give ssl_certfile="
    if place.startswith("redis"):
        return "; if this port speaks TLS, write rediss instead of redis"
    return ""
