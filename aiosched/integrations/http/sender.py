"""One request, sent and read within its bounds, to a URL that is allowed."""

from __future__ import annotations

import asyncio
import math
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from aiosched.clock import Clock, SystemClock
from aiosched.errors import AttemptError, ConfigurationError
from aiosched.instants import SECOND
from aiosched.integrations.http.signing import (
    ID,
    SIGNATURE,
    TIMESTAMP,
    Secret,
    signature,
)
from aiosched.integrations.http.urls import AllowList, Parts, Target, fill_in, shown_url
from aiosched.jobs import checks

if TYPE_CHECKING:
    import httpx2

__all__ = [
    "Answer",
    "HttpFailedError",
    "HttpOptions",
    "HttpStatusError",
    "Outgoing",
    "Sender",
    "httpx_module",
]

OWN_HEADERS = frozenset(
    (
        *("host", "content-length", "transfer-encoding", "connection", "upgrade"),
        *("te", "trailer", "proxy-authorization", "proxy-connection", "keep-alive"),
        *(ID, TIMESTAMP, SIGNATURE, "idempotency-key"),
    )
)
"""Headers that nobody but the sender sets."""
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
"""The name of a header: RFC 9110, 5.6.2."""
VALUE = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e\t]{0,4000}[\x21-\x7e])?)?")
"""What a header may hold here."""
RETRY_STATUSES = (408, 425, 429, 500, 502, 503, 504)
"""Answers after which another attempt may help."""
_FOLLOWED = (307, 308)
_FOLLOWED_SAFE = (301, 302, 303)


class HttpFailedError(AttemptError):
    """A request that got no answer: another attempt may help, unless it says not."""


class HttpStatusError(AttemptError):
    """An answer that was not expected.

    Attributes:
        status: Of the answer.
    """

    def __init__(
        self, message: str, status: int, *, retry: bool, after: float = 0.0
    ) -> None:
        """Keep the status beside the message."""
        super().__init__(message, retry=retry, after=after)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """Bounds of requests.

    Attributes:
        connect: Seconds to connect.
        total: Seconds for everything, redirects included.
        most_body: Bytes of an answer that are kept.
        retry_statuses: Answers after which another attempt may help; so it may
            after any refusal that says ``Retry-After``.
        longest_after: Seconds of a ``Retry-After`` that are honoured, at most.
        verify: Whom TLS trusts: None, those whom the system trusts; or the path
            of a file of certificates.  There is no way to trust everybody.
        transport: For tests: takes the place of the network.
    """

    connect: float = 5.0
    total: float = 30.0
    most_body: int = 16_384
    retry_statuses: Sequence[int] = RETRY_STATUSES
    longest_after: float = 3_600.0
    verify: str | ssl.SSLContext | None = None
    transport: Any = None

    def __post_init__(self) -> None:
        """Check the bounds.

        Raises:
            ConfigurationError: One cannot be used.
        """
        for name in ("connect", "total", "longest_after"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 < value <= 86_400:
                raise ConfigurationError(
                    name, value, "is no such time", "give seconds, up to a day"
                )
        checks.number("most_body", self.most_body, least=0, most=2**20)
        if isinstance(self.verify, ssl.SSLContext) and (
            self.verify.verify_mode is not ssl.CERT_REQUIRED
            or not self.verify.check_hostname
        ):
            raise ConfigurationError(
                "verify", "SSLContext", "trusts everybody", "let it verify names"
            )


class Outgoing(NamedTuple):
    """A request.

    Attributes:
        method: Such as ``POST``.
        url: Absolute, or relative to the base URL.
        message: Id of the message: the same whenever it is sent again.
        body: Bytes; empty for none.
        headers: Of the job; those that are the sender's own are refused before.
        content_type: Of the body.
    """

    method: str
    url: str
    message: str
    body: bytes = b""
    headers: Mapping[str, str] = {}
    content_type: str = "application/json"


class Answer(NamedTuple):
    """What came back.

    Attributes:
        status: Of the answer.
        headers: With names in lower case.
        body: The first bytes.
        cut: Whether there was more.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool


def httpx_module() -> Any:
    """Import the HTTP client.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        import httpx2
    except ImportError:
        raise ConfigurationError(
            "http", "httpx2", "is not installed", 'install "aiosched[http]"'
        ) from None
    return httpx2


class Sender:
    """Sends requests to the URLs of an allow-list.

    Proxies, certificates and passwords of the environment are not used: what goes
    where is said here and nowhere else.
    """

    def __init__(
        self,
        allowed: AllowList,
        secrets: Mapping[str, Secret | str] | None = None,
        options: HttpOptions | None = None,
        *,
        clock: Clock | None = None,
    ) -> None:
        """Check the options; nothing is opened before the first request.

        Raises:
            ConfigurationError: A secret is missing or no key, or the HTTP client
                is not installed.
        """
        httpx_module()
        self.allowed = allowed
        self.options: HttpOptions = options or HttpOptions()
        self._clock = SystemClock() if clock is None else clock
        self._secrets: dict[str, Secret] = {
            name: one if isinstance(one, Secret) else Secret(one)
            for name, one in (secrets or {}).items()
        }
        self._keys: dict[str, tuple[bytes, ...]] = {}
        self._trusted: Any = _trusted(self.options.verify)
        self._client: httpx2.AsyncClient | None = None
        for target in allowed.targets:
            self._check(target)

    def _check(self, target: Target) -> None:
        for name in sorted(target.secrets()):
            if name not in self._secrets:
                raise ConfigurationError(
                    "secrets",
                    sorted(self._secrets),
                    f"the target {target.base} needs {name!r}",
                    "give a secret of that name",
                )
        if target.sign is not None:
            self._keys[target.sign] = self._secrets[target.sign].keys()
        secret = {name: one.text for name, one in self._secrets.items()}
        for name, text in target.headers.items():
            if not TOKEN.fullmatch(name) or not VALUE.fullmatch(fill_in(text, secret)):
                remedy = "give names and values of printable ASCII"
                raise ConfigurationError(
                    f"headers.{name}", "<hidden>", "cannot be sent", remedy
                )
        refused = {name.lower() for name in target.headers} & OWN_HEADERS
        if refused:
            raise ConfigurationError(
                "headers", sorted(refused), "are the sender's own", "leave them out"
            )

    # -- life ------------------------------------------------------------------

    def _opened(self) -> httpx2.AsyncClient:
        if self._client is None:
            httpx = httpx_module()
            options = self.options
            self._client = httpx.AsyncClient(
                verify=self._trusted,
                trust_env=False,
                follow_redirects=False,
                timeout=httpx.Timeout(options.total, connect=options.connect),
                transport=options.transport,
                headers={"user-agent": "aiosched", "accept-encoding": "identity"},
            )
        assert self._client is not None  # noqa: S101 - made just now
        return self._client

    async def close(self) -> None:
        """Close connections; safe to call twice.  A later request opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    # -- one request -------------------------------------------------------------

    async def send(self, out: Outgoing, *, total: float | None = None) -> Answer:
        """Send a request and read the answer, whatever its status.

        Args:
            out: What to send.
            total: Seconds for everything, where less than the option's.

        Raises:
            ConfigurationError: The URL is not allowed; nothing was sent.
            HttpFailedError: There was no answer, or no time left for it.
        """
        parts, target = self.allowed.find(out.url)
        seconds = min(total or math.inf, self.options.total)
        httpx = httpx_module()
        try:
            async with asyncio.timeout(seconds):
                return await self._through(out, parts, target)
        except TimeoutError:
            what = f"no answer within {seconds:g} s"
        except httpx.TimeoutException as error:
            what = f"no answer in time ({type(error).__name__})"
        except httpx.HTTPError as error:
            what = self.hide(f"{type(error).__name__}: {error}")
        except httpx.InvalidURL as error:
            what = self.hide(f"the client cannot read the URL: {error}")
        raise HttpFailedError(f"{out.method} {shown_url(parts.url)}: {what}") from None

    async def _through(self, out: Outgoing, parts: Parts, target: Target) -> Answer:
        """Send it, and follow as many redirects as the target allows."""
        left = target.redirects
        while True:
            answer = await self._once(out, parts, target)
            location = answer.headers.get("location")
            redirects = answer.status in _FOLLOWED or (
                answer.status in _FOLLOWED_SAFE and out.method in ("GET", "HEAD")
            )
            if not redirects or location is None or left == 0:
                return answer
            left -= 1
            parts = self.allowed.follow(parts, target, location)

    async def _once(self, out: Outgoing, parts: Parts, target: Target) -> Answer:
        client = self._opened()
        request = client.build_request(
            out.method,
            parts.url,
            headers=self._headers(out, target),
            content=out.body or None,
        )
        url = request.url
        asked = (url.scheme, url.host, url.port, url.raw_path.decode("ascii"))
        ours = (parts.scheme, parts.host, parts.port, parts.path + parts.query)
        if (*asked[:2], asked[2] or parts.port, asked[3]) != ours:
            # Two readers of one URL must not differ over where it leads.
            shown = shown_url(parts.url)
            problem = "is read otherwise by the client"
            raise ConfigurationError("url", shown, problem, "write it plainly")
        response = await client.send(request, stream=True)
        try:
            body, cut = await self._read(response)
        finally:
            await response.aclose()
        return Answer(
            response.status_code,
            {name.lower(): value for name, value in response.headers.items()},
            body,
            cut,
        )

    def _headers(self, out: Outgoing, target: Target) -> list[tuple[str, str]]:
        secret = {name: one.text for name, one in self._secrets.items()}
        fixed = {
            name.lower(): fill_in(text, secret) for name, text in target.headers.items()
        }
        headers = {
            name.lower(): value
            for name, value in out.headers.items()
            if name.lower() not in OWN_HEADERS
        }
        if out.body:
            headers.setdefault("content-type", out.content_type)
        headers |= fixed
        headers["idempotency-key"] = f'"{out.message}"'
        headers[ID] = out.message
        if target.sign is not None:
            stamp = self._clock.wall() // SECOND
            key = self._keys[target.sign][0]
            headers[TIMESTAMP] = str(stamp)
            headers[SIGNATURE] = signature(key, out.message, stamp, out.body)
        return list(headers.items())

    async def _read(self, response: httpx2.Response) -> tuple[bytes, bool]:
        """Read as much of an answer as is kept, and no more."""
        kept = bytearray()
        async for chunk in response.aiter_raw(8_192):  # nothing is unpacked
            kept += chunk
            if len(kept) > self.options.most_body:
                return bytes(kept[: self.options.most_body]), True
        return bytes(kept), False

    # -- what it means -------------------------------------------------------------

    def judge(
        self, out: Outgoing, answer: Answer, expect: Sequence[int] | None = None
    ) -> None:
        """Raise unless an answer is one that was expected.

        Args:
            out: What was sent.
            answer: What came back.
            expect: Statuses; None: 200 to 299.

        Raises:
            HttpStatusError: It is not; it says whether and when to try again.
        """
        status = answer.status
        if status in expect if expect is not None else 200 <= status < 300:
            return
        where = shown_url(self.allowed.find(out.url)[0].url)
        message = f"{out.method} {where}: status {status}"
        if 300 <= status < 400:
            to = shown_url(answer.headers.get("location", "nowhere"))
            message = f"{message}, a redirect to {to}, which is not followed"
        elif answer.body:
            text = answer.body[:200].decode(errors="replace")
            message = f"{message}: {self.hide(text)}"
        after = self.after(answer) if status >= 400 else None
        retry = after is not None or status in self.options.retry_statuses
        raise HttpStatusError(message, status, retry=retry, after=after or 0.0)

    def after(self, answer: Answer) -> float | None:
        """Return the seconds of a ``Retry-After``; None: it has none.

        RFC 9110, 10.2.3.  An instant counts from the answer's own ``Date``, as far as
        there is one.
        """
        text = answer.headers.get("retry-after", "").strip()
        if not text:
            return None
        if text.isascii() and text.isdigit():
            seconds = float(text[:12])
        else:
            until = _date(text)
            if until is None:
                return None
            now = _date(answer.headers.get("date", ""))
            seconds = until - (self._clock.wall() / SECOND if now is None else now)
        return min(max(seconds, 0.0), self.options.longest_after)

    def hide(self, text: str) -> str:
        """Return text without the secrets that stand in it."""
        for secret in self._secrets.values():
            for one in secret.texts():
                if len(one) >= 4:
                    text = text.replace(one, "<secret>")
        return text


def _trusted(verify: str | ssl.SSLContext | None) -> ssl.SSLContext | bool:
    if not isinstance(verify, str):
        return True if verify is None else verify
    try:
        return ssl.create_default_context(cafile=verify)
    except OSError as error:
        problem = f"holds no certificates ({error.strerror or type(error).__name__})"
        remedy = "give the path of a PEM file"
        raise ConfigurationError("verify", verify, problem, remedy) from None


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
