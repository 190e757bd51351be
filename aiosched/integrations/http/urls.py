"""Which URLs may be asked: an allow-list of bases, compared after normalisation.

What cannot be compared beyond doubt is refused rather than mended: two programs
that read a doubtful URL in different ways are how requests are smuggled out.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from aiosched.errors import ConfigurationError
from aiosched.jobs import checks

__all__ = ["MOST_URL", "AllowList", "Parts", "Target", "parts_of", "shown_url"]

MOST_URL = 4_096
"""Characters of a URL, at most."""
_PORTS = {"http": 80, "https": 443}
# RFC 3986, 2: what is not here has to be percent-encoded.
_WRITTEN = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# Slashes, dots, back-slashes and the percent sign itself mean one thing to whoever
# checks a path and may mean another to who serves it.
_ENCODED = re.compile(r"%(2[eEfF5]|5[cC]|00)")
_SECRET = re.compile(r"\$\{([A-Za-z0-9_.-]+)\}")


class Parts(NamedTuple):
    """A URL that was read beyond doubt.

    Attributes:
        scheme: ``http`` or ``https``.
        host: In lower case; an IPv6 address without brackets.
        port: Also where it is the scheme's own.
        path: At least ``/``.
        query: With its ``?``; empty for none.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def url(self) -> str:
        """The URL in its one form, the port left out where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if _PORTS[self.scheme] == self.port else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}{self.query}"


def parts_of(field: str, url: object) -> Parts:
    """Read a URL, or refuse it.

    Raises:
        ConfigurationError: It is none, or one that may be read in two ways: with
            a user or a fragment, a path with dot segments, empty segments,
            back-slashes or encoded ones of these, a host that is not plain.
    """
    remedy = "give an absolute http(s) URL, such as https://api.example.com/jobs/x"
    if not isinstance(url, str) or len(url) > MOST_URL:
        shown = url if not isinstance(url, str) else url[:80]
        raise ConfigurationError(field, shown, "is no URL of that length", remedy)
    problem = _doubt(url)
    if problem:
        raise ConfigurationError(field, shown_url(url), problem, remedy)
    split = urlsplit(url)
    scheme, host = split.scheme.lower(), (split.hostname or "").lower()
    return Parts(
        scheme,
        host,
        split.port or _PORTS[scheme],
        split.path or "/",
        f"?{split.query}" if split.query else "",
    )


def _doubt(url: str) -> str:
    """Return what is wrong with a URL; empty: nothing."""
    if not _WRITTEN.fullmatch(url) or _BROKEN.search(url):
        return "has characters that a URL has to encode"
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError:
        return "cannot be read"
    if split.scheme.lower() not in _PORTS:
        return "is not of http or https"
    if "@" in split.netloc:
        return "has a user in it"
    if "#" in url:
        return "has a fragment"
    if port == 0 or split.netloc.endswith(":"):
        return "has no port where it says one"
    if not _plain_host(split.hostname or "", bracketed="[" in split.netloc):
        return "has no plain host"
    return _doubt_of_path(split.path)


def _doubt_of_path(path: str) -> str:
    segments = path.split("/")[1:]
    if any(one.split(";")[0] in (".", "..") for one in segments):
        return "has dot segments"
    if _ENCODED.search(path):
        return "has an encoded dot, slash, back-slash, percent sign or zero in its path"
    if "" in segments[:-1]:
        return "has an empty segment in its path"
    return ""


def _plain_host(host: str, *, bracketed: bool) -> bool:
    host = host.lower()
    if bracketed:
        try:
            return ipaddress.IPv6Address(host).compressed == host
        except ValueError:
            return False
    labels = host.split(".")
    if not host or len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        return False
    if labels[-1].isdigit() or labels[-1].startswith("0x"):
        try:  # 127.1, 0177.0.0.1 and 0x7f000001 are addresses to some
            return str(ipaddress.IPv4Address(host)) == host
        except ValueError:
            return False
    return True


def shown_url(url: str) -> str:
    """Return a URL for logs: without user, query and fragment, cut short."""
    head = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, mark, rest = head.partition("://")
    rest = rest.rpartition("@")[2] if mark else scheme.rpartition("@")[2]
    return f"{scheme}://{rest}"[:200] if mark else rest[:200]


@dataclass(frozen=True, slots=True)
class Target:
    """A base URL that may be asked, with everything below it.

    Attributes:
        base: Scheme, host, port and path; ``https://api.example.com/v1/jobs`` is
            itself and all that begins with it and a slash.
        sign: Name of the secret by which requests are signed; None: they are not.
        headers: Added to each request, after those of the job, which cannot
            change them.  ``${name}`` stands for a named secret.
        redirects: How many redirects are followed, none of them out of this
            target; 0 refuses all.
    """

    base: str
    sign: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    redirects: int = 0
    parts: Parts = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ConfigurationError: One cannot be used.
        """
        parts = parts_of("base", self.base)
        if parts.query:
            remedy = "leave the query to the requests"
            raise ConfigurationError("base", self.base, "has a query", remedy)
        checks.number("redirects", self.redirects, least=0, most=20)
        path = parts.path.rstrip("/")
        object.__setattr__(self, "parts", parts._replace(path=path))
        object.__setattr__(self, "headers", dict(self.headers))

    def covers(self, parts: Parts) -> bool:
        """Tell whether a URL is this base or below it."""
        mine = self.parts
        return parts[:3] == mine[:3] and (
            parts.path == mine.path or parts.path.startswith(f"{mine.path}/")
        )

    def secrets(self) -> set[str]:
        """Return the names of the secrets that its requests need."""
        texts = self.headers.values()
        named = {name for text in texts for name in _SECRET.findall(text)}
        return named if self.sign is None else named | {self.sign}


def fill_in(text: str, secret: Mapping[str, str]) -> str:
    """Put named secrets into the text of a header."""
    return _SECRET.sub(lambda found: secret[found[1]], text)


class AllowList:
    """The targets that may be asked, and no other URL."""

    def __init__(
        self, targets: Iterable[Target | str], *, base_url: str | None = None
    ) -> None:
        """Take targets; a text is one that is neither signed nor redirected.

        Args:
            targets: At least one.
            base_url: What URLs without a scheme are relative to: they are put
                behind it; None: there are none such.

        Raises:
            ConfigurationError: There is none, or one cannot be used, or the base
                URL is outside.
        """
        given = [targets] if isinstance(targets, Target | str) else list(targets)
        self.targets: tuple[Target, ...] = tuple(
            sorted(
                (one if isinstance(one, Target) else Target(one) for one in given),
                key=lambda target: -len(target.parts.path),
            )
        )
        if not self.targets:
            raise ConfigurationError(
                "targets", given, "allow no URL at all", "give a base URL"
            )
        self.base_url = base_url
        if base_url is not None:
            base = parts_of("base_url", base_url)
            if base.query:
                raise ConfigurationError(
                    "base_url", shown_url(base_url), "has a query", "leave it out"
                )
            self.base_url = base.url.rstrip("/")

    def find(self, url: object, *, field: str = "url") -> tuple[Parts, Target]:
        """Return a URL in its one form, and the target that allows it.

        Where several do, the one with the longest path.

        Raises:
            ConfigurationError: None does, or it is no URL.
        """
        if isinstance(url, str) and self.base_url is not None and "://" not in url:
            path = url if url.startswith(("/", "?")) or not url else f"/{url}"
            url = f"{self.base_url}{path}"
        parts = parts_of(field, url)
        for target in self.targets:
            if target.covers(parts):
                return parts, target
        known = ", ".join(target.base for target in self.targets)
        raise ConfigurationError(
            field,
            shown_url(parts.url),
            f"is not on the allow-list ({known})",
            "correct it, or allow its base where the executor is made",
        )

    def follow(self, parts: Parts, target: Target, location: str) -> Parts:
        """Return where a redirect leads.

        Raises:
            ConfigurationError: Out of the target, or nowhere.
        """
        onward = parts_of("location", urljoin(parts.url, location))
        if not target.covers(onward):
            raise ConfigurationError(
                "location",
                shown_url(onward.url),
                "leads out of the target",
                "ask where it leads to, if that is to be allowed",
            )
        return onward
