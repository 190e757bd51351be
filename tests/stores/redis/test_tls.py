"""TLS with an authority of one's own, and what is said when it is set up wrongly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from aiosched import IntervalTrigger, Job, Scheduler
from aiosched.errors import ConfigurationError, StoreUnavailableError
from aiosched.testing.contract_decisions import claim, create, ids_in
from tests import certificates, servers
from tests.stores.redis.wire import opened
from tests.waiting import wait_until

IDS = ids_in(1, 2)


class Secured(NamedTuple):
    """A server that wants certificates, and those that there are.

    Attributes:
        server: Serves plain on its port, and TLS on another.
        port: That other one; its certificate is that of ``localhost``.
        trust: The option that names the server's authority.
        mine: Those that name a client's certificate.
        foreign: Those of one that the server does not trust.
    """

    server: servers.Server
    port: int
    trust: str
    mine: str
    foreign: str


@pytest.fixture(scope="module", params=servers.binaries(), ids=lambda one: one.name)
def secured(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Secured]:
    if certificates.openssl() is None:
        pytest.skip("no openssl program on this machine")
    folder: Path = tmp_path_factory.mktemp("tls")
    authority = certificates.Authority(folder)
    pair = authority.sign("server", "DNS:localhost")
    port = servers.free_port()
    options = {
        "tls-port": str(port),
        "tls-cert-file": str(pair.certificate),
        "tls-key-file": str(pair.key),
        "tls-ca-cert-file": str(authority.own.certificate),
        "tls-auth-clients": "yes",
    }
    server = servers.Server(request.param, options=options)
    try:
        try:
            server.start()
        except servers.ServerError as error:
            # Without it some do not know the setting, some have no such connections.
            if server.log() and "TLS support" not in str(error):
                raise
            pytest.skip(f"{request.param.name} was built without TLS")
        client = authority.sign("client")
        other = certificates.Authority(folder, "other").sign("foreign")
        yield Secured(
            server,
            port,
            f"ssl_ca_certs={authority.own.certificate}",
            f"ssl_certfile={client.certificate}&ssl_keyfile={client.key}",
            f"ssl_certfile={other.certificate}&ssl_keyfile={other.key}",
        )
    finally:
        server.stop()


async def test_jobs_run_over_it(secured: Secured) -> None:
    url = f"rediss://localhost:{secured.port}/1?{secured.trust}&{secured.mine}"
    ran: list[str] = []
    async with Scheduler(url, namespace="tls") as scheduler:

        @scheduler.executor
        def tls_tick() -> None:
            ran.append("ran")

        await scheduler.schedule(Job("tls_tick", trigger=IntervalTrigger(seconds=0.2)))
        await wait_until(lambda: len(ran) > 1, "two runs")


async def test_the_host_need_not_be_named_as_in_the_certificate(
    secured: Secured,
) -> None:
    url = (
        f"rediss://127.0.0.1:{secured.port}?{secured.trust}&{secured.mine}"
        "&ssl_check_hostname=no"
    )
    async with opened(url) as session:
        await session.transact(IDS, create(at=1))
        assert set(await session.transact(IDS, claim("me"))) == set(IDS)


@pytest.mark.parametrize(
    ("url", "problem", "remedy"),
    [
        ("rediss://localhost:{tls}?{mine}", "server's certificate", "ssl_ca_certs="),
        ("rediss://127.0.0.1:{tls}?{trust}&{mine}", "not valid for", "host's name"),
        ("rediss://localhost:{tls}?{trust}x&{mine}", "a file of", "ssl_ca_certs="),
        ("rediss://localhost:{tls}?{trust}&{crossed}", "a file of", "ssl_keyfile="),
    ],
)
async def test_what_is_set_up_wrongly_is_refused_at_once(
    secured: Secured, url: str, problem: str, remedy: str
) -> None:
    mine, foreign = secured.mine.split("&"), secured.foreign.split("&")
    named = url.format(
        tls=secured.port,
        trust=secured.trust,
        mine=secured.mine,
        crossed=f"{mine[0]}&{foreign[1]}",
    )
    with pytest.raises(ConfigurationError, match=problem) as caught:
        async with opened(named):
            pass
    assert caught.value.field == "store"
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        # What these show may also be seen of a server that starts or ends.
        ("rediss://localhost:{plain}?{trust}", "write redis instead of rediss"),
        ("redis://localhost:{tls}", "write rediss instead of redis"),
    ],
)
async def test_the_wrong_port_is_guessed(secured: Secured, url: str, hint: str) -> None:
    named = url.format(tls=secured.port, plain=secured.server.port, trust=secured.trust)
    with pytest.raises(StoreUnavailableError, match=hint):
        async with opened(named, socket_connect_timeout=1.0):
            pass


@pytest.mark.parametrize("foreign", [False, True])
async def test_a_client_without_the_right_certificate(
    secured: Secured, *, foreign: bool
) -> None:
    """By chance the alert is read, or only that the server has hung up."""
    wanted = (ConfigurationError, StoreUnavailableError)
    options = f"{secured.trust}&{secured.foreign}" if foreign else secured.trust
    with pytest.raises(wanted, match="ssl_certfile="):
        async with opened(f"rediss://localhost:{secured.port}?{options}"):
            pass
