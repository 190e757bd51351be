"""Hundreds of faults of every kind, on real processes and a real server.

``python -m tests.faults.chaos --seconds 600 --json report.json``, which is
``nox -s chaos``: four peers, each behind a wire of its own, on a server with an
append-only file.  Two hands cause faults all the while, each kind as often as
the others; faults of the server are caused by one hand while the other waits.
Then the judge.  A second part, on a server that keeps nothing, loses the data
again and again.  The exit code is 1 if anything was wrong, or if a kind never
happened.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from tests import servers
from tests.crash.kit import server_now
from tests.faults.judge import Losses, judged
from tests.faults.kit import Cluster, Link, Load, cluster, too_soon
from tests.faults.peer import POINTS
from tests.faults.proxies import Cut
from tests.servers import Server, ServerError
from tests.waiting import wait_until

PEERS = 4
LEASE = 2.0
BEAT = 0.7
EXCHANGE = 5.0
"""Seconds after which a peer gives an exchange up, by default."""
RECOVERY = 20.0
"""Seconds within which a peer has to work again when a fault is over."""
FAR = 0.02
"""Seconds of a slow link, each way: as between the shores of an ocean's ends."""
DYING = 10.0
"""Seconds that a peer may take until it has a run to hand back."""
SLACK = 1.0
"""Seconds beyond a beat for an alarm: an exchange, and this machine's load."""

Cause = Callable[["Chaos", Link], Awaitable[None]]


@dataclass
class Fault:
    """One fault that was caused; instants in seconds since 1970."""

    kind: str
    peer: str
    begin: float
    seconds: float
    recovered: float | None = None
    """Seconds from its end until the hurt peer started something again (of a
    killed one or of the server: until anybody did)."""


@dataclass
class Chaos:
    """The hands, and what they did."""

    made: Cluster
    load: Load
    chance: random.Random
    until: float
    faults: list[Fault] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    busy: set[str] = field(default_factory=set)
    bag: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._turn = asyncio.Condition()
        self._hands = 0

    def draw(self) -> str:
        """Return the next kind; each comes once before any comes again."""
        if not self.bag:
            self.bag = self.chance.sample(list(KINDS), len(KINDS))
        return self.bag.pop()

    async def hand(self) -> None:
        """Cause one fault after the other."""
        while self.left > 0:
            kind = self.draw()
            async with self._turn:
                if kind in OF_SERVER:
                    # The other hand ends what it is at, and waits.
                    await self._turn.wait_for(lambda: not self._hands)
                    # Nor did time stand still: nothing begins when it is over.
                    if self.left > 0:
                        await self._cause(kind)
                    continue
                self._hands += 1
            try:
                await self._cause(kind)
            finally:
                async with self._turn:
                    self._hands -= 1
                    self._turn.notify_all()
            await asyncio.sleep(self.chance.uniform(0.1, 0.6))

    async def _cause(self, kind: str) -> None:
        free = [
            link
            for link in self.made.living
            if not link.doomed and link.peer.id not in self.busy
        ]
        link = self.chance.choice(free)
        name = link.peer.id
        self.busy.add(name)
        begin, since = time.time(), monotonic()
        fault = Fault(kind, "*" if kind in OF_SERVER else name, begin, 0.0)
        try:
            await KINDS[kind](self, link)
            fault.seconds = round(monotonic() - since, 3)
            anybody = kind in OF_SERVER or not link.peer.alive
            await self._recovered(fault, None if anybody else link)
        except (AssertionError, OSError, ServerError) as error:
            self.trouble.append(f"{kind}: {error!r}")
        finally:
            self.busy.discard(name)
            self.faults.append(fault)

    async def _recovered(self, fault: Fault, link: Link | None) -> None:
        over = monotonic()
        links = [link] if link else self.made.links

        def again() -> bool:
            return any(
                line.at > over for x in links for line in x.peer.lines("start")[-5:]
            )

        await wait_until(again, f"work after {fault.kind}", timeout=RECOVERY, poll=0.05)
        fault.recovered = round(monotonic() - over, 3)

    @property
    def left(self) -> float:
        """Return how many seconds are left in which a fault may begin."""
        return self.until - monotonic()

    def pause(self, least: float, most: float) -> Awaitable[None]:
        """Sleep for a while."""
        return asyncio.sleep(self.chance.uniform(least, most))

    def note(
        self, kind: str, link: Link | None, begin: float, lasts: float = 0.0
    ) -> None:
        """Tell the judge of a fault that did not end anybody.

        Args:
            kind: What it was.
            link: Whose it was; None: everybody's.
            begin: When it began.
            lasts: For how long from now it works on.
        """
        self.made.note(kind, link, begin, lasts=lasts)


# --- the kinds: processes -------------------------------------------------------------


async def _killed(chaos: Chaos, link: Link) -> None:
    await chaos.made.kill(link)


async def _killed_within(chaos: Chaos, link: Link) -> None:
    """A fresh peer kills itself at a point that no signal can hit."""
    points = [x for x in POINTS if x != "handing back" or chaos.left > DYING]
    point = chaos.chance.choice(points)
    doomed = await chaos.made.doom(point, 1, chaos.load)
    await chaos.made.died(doomed)


async def _ended(chaos: Chaos, link: Link) -> None:
    await chaos.made.terminate(link)


async def _frozen(chaos: Chaos, link: Link) -> None:
    resumed = await chaos.made.freeze(link, 3.0)
    await wait_until(
        lambda: any(line.at > resumed for line in link.peer.lines("back")),
        "a thawed peer that notices",
        timeout=RECOVERY,
        poll=0.05,
    )
    assert too_soon(link.peer, resumed) == []


async def _stuttering(chaos: Chaos, link: Link) -> None:
    """Stopped for less than what is left of a lease: it loses nothing."""
    await chaos.made.freeze(link, chaos.chance.uniform(0.2, 0.5))


async def _blocked(chaos: Chaos, link: Link) -> None:
    await chaos.made.block(3.0)


# --- the kinds: wires -----------------------------------------------------------------


async def _cut(chaos: Chaos, link: Link) -> None:
    begin = time.time()
    link.wire.break_all()
    chaos.note("connections cut", link, begin)


async def _silent(chaos: Chaos, link: Link) -> None:
    begin = time.time()
    link.wire.silent = True
    await chaos.pause(0.5, 1.5 * LEASE)
    link.wire.silent = False
    link.wire.break_all()
    chaos.note("link silent", link, begin)


async def _half_open(chaos: Chaos, link: Link) -> None:
    """Nobody is told; the peer finds out by its own time limits."""
    begin, since = time.time(), monotonic()
    link.wire.swallow()
    await wait_until(
        lambda: any(x.at > since + 0.5 for x in link.peer.lines("start")[-5:]),
        "a peer that finds out",
        timeout=RECOVERY,
        poll=0.05,
    )
    # One lane was idle then: whoever takes the other waits in vain for so long.
    chaos.note("half-open", link, begin, lasts=EXCHANGE)


async def _refused(chaos: Chaos, link: Link) -> None:
    begin = time.time()
    link.wire.refusing = True
    link.wire.break_all()
    await chaos.pause(0.5, 1.5 * LEASE)
    link.wire.refusing = False
    chaos.note("connections refused", link, begin)


async def _slow(chaos: Chaos, link: Link) -> None:
    begin = time.time()
    link.wire.delay = FAR
    await chaos.pause(2.0, 4.0)
    link.wire.delay = 0.0
    chaos.note("slow link", link, begin)


async def _deaf(chaos: Chaos, link: Link) -> None:
    begin = time.time()
    link.deaf = True
    before = link.swallowed
    await chaos.pause(2.0, 4.0)
    link.deaf = False
    assert link.swallowed > before, "there was nothing to be heard"
    chaos.note("messages dropped", link, begin)


async def _at_exec(chaos: Chaos, link: Link, kind: str, cut: Cut) -> None:
    """Cut the next transaction, wherever."""
    begin = time.time()
    link.wire.cut = cut
    try:
        await wait_until(lambda: cut.made, "a transaction to cut", timeout=RECOVERY)
        if cut.late:
            # What is resolved by then must not be applied any more.
            await chaos.pause(0.0, 0.6)
            await link.wire.deliver()
    finally:
        link.wire.cut = None
    chaos.note(kind, link, begin)


async def _reply_lost(chaos: Chaos, link: Link) -> None:
    await _at_exec(chaos, link, "reply of EXEC lost", Cut(b"EXEC", "down", 0))


async def _exec_lost(chaos: Chaos, link: Link) -> None:
    await _at_exec(chaos, link, "EXEC lost", Cut(b"EXEC", "up", 0))


async def _torn(chaos: Chaos, link: Link) -> None:
    if chaos.chance.random() < 0.5:
        cut = Cut(b"EXEC", "up", chaos.chance.randrange(1, 300))
    else:
        cut = Cut(b"EXEC", "down", chaos.chance.randrange(1, 30))
    await _at_exec(chaos, link, "EXEC torn", cut)


async def _late(chaos: Chaos, link: Link) -> None:
    cut = Cut(b"EXEC", "up", chaos.chance.randrange(0, 200), late=True)
    await _at_exec(chaos, link, "EXEC late", cut)


# --- the kinds: the server ------------------------------------------------------------


async def _server_stopped(chaos: Chaos, link: Link) -> None:
    begin = time.time()
    chaos.made.server.pause()
    try:
        await chaos.pause(0.3, 1.5 * LEASE)
    finally:
        chaos.made.server.resume()
    chaos.note("server stopped", None, begin)


async def _server_restarted(chaos: Chaos, link: Link) -> None:
    begin = time.time()
    chaos.made.server.kill()
    await chaos.pause(0.0, 1.5 * LEASE)
    await asyncio.to_thread(chaos.made.server.start)
    chaos.note("server restarted", None, begin)


async def _told_to_kill(chaos: Chaos, kind: str, clients: str) -> None:
    begin = time.time()
    chaos.made.server.command("CLIENT", "KILL", "TYPE", clients)
    chaos.note(kind, None, begin)


async def _pubsub_killed(chaos: Chaos, link: Link) -> None:
    await _told_to_kill(chaos, "pub/sub killed", "pubsub")


async def _clients_killed(chaos: Chaos, link: Link) -> None:
    await _told_to_kill(chaos, "clients killed", "normal")


async def _set_for_a_while(
    chaos: Chaos, kind: str, words: Sequence[str], back: Sequence[str]
) -> None:
    begin = time.time()
    chaos.made.server.command(*words)
    try:
        await chaos.pause(0.5, 1.5 * LEASE)
    finally:
        chaos.made.server.command(*back)
    chaos.note(kind, None, begin)


async def _full(chaos: Chaos, link: Link) -> None:
    config = ("CONFIG", "SET", "maxmemory")
    await _set_for_a_while(chaos, "out of memory", (*config, "1"), (*config, "0"))


async def _read_only(chaos: Chaos, link: Link) -> None:
    to = ("REPLICAOF", "127.0.0.1", "1")
    await _set_for_a_while(chaos, "read-only", to, ("REPLICAOF", "NO", "ONE"))


async def _paused(chaos: Chaos, link: Link) -> None:
    begin = time.time()
    chaos.made.server.command("CLIENT", "PAUSE", "2500", "ALL")
    await asyncio.sleep(2.5)
    chaos.note("clients paused", None, begin)


KINDS: dict[str, Cause] = {
    "SIGKILL": _killed,
    "SIGKILL within an exchange": _killed_within,
    "SIGTERM": _ended,
    "SIGSTOP for three leases": _frozen,
    "SIGSTOP for less than a lease": _stuttering,
    "loop blocked for three leases": _blocked,
    "connections cut": _cut,
    "link silent": _silent,
    "half-open": _half_open,
    "connections refused": _refused,
    "slow link": _slow,
    "messages dropped": _deaf,
    "reply of EXEC lost": _reply_lost,
    "EXEC lost": _exec_lost,
    "EXEC torn": _torn,
    "EXEC late": _late,
    "server stopped": _server_stopped,
    "server restarted": _server_restarted,
    "pub/sub killed": _pubsub_killed,
    "clients killed": _clients_killed,
    "out of memory": _full,
    "read-only": _read_only,
    "clients paused": _paused,
}
OF_SERVER = {
    "server stopped",
    "server restarted",
    "pub/sub killed",
    "clients killed",
    "out of memory",
    "read-only",
    "clients paused",
    # Nobody knows beforehand who will run it.
    "loop blocked for three leases",
}


async def keeping(
    binary: servers.Binary, folder: Path, seed: int, seconds: float
) -> dict[str, Any]:
    """Cause faults that keep acknowledged writes, and judge."""
    load = Load(seconds + 8.0, random.Random(seed), rate=4.0)
    with Server(binary, aof=True, fsync="always") as server:
        async with cluster(
            server, folder, seed, peers=PEERS, lease=LEASE, beat=BEAT
        ) as made:
            await load.schedule(made.client)
            chaos = Chaos(made, load, random.Random(seed), monotonic() + seconds)
            hands = [chaos.hand() for _ in range(2)]
            work = load.go_on(made.client, monotonic() + seconds)
            await asyncio.gather(work, *hands)
            evidence = await made.evidence(load, timeout=120.0)
            verdict = judged(evidence)
    return {
        "server": binary.name,
        "seed": seed,
        "faults": [asdict(fault) for fault in chaos.faults],
        "trouble": chaos.trouble,
        "wrong": verdict.wrong,
        "late": verdict.late,
        "explained": dict(verdict.explained),
        "slots": dict(verdict.slots),
        "runs": verdict.runs,
        "acknowledged": len(load.asked) + len(load.once),
        "refused": dict(load.refused),
    }


# --- losses ---------------------------------------------------------------------------


def _flush(server: Server) -> None:
    server.flush()


def _forget(server: Server) -> None:
    """Come back with nothing."""
    server.kill()
    (server.folder / "dump.rdb").unlink(missing_ok=True)
    server.start()


def _snapshot(server: Server) -> None:
    server.command("SAVE")


def _roll_back(server: Server) -> None:
    """Come back with what was, some seconds ago."""
    server.restart()


LOSSES: dict[str, tuple[Callable[[Server], None] | None, Callable[[Server], None]]] = {
    "FLUSHALL": (None, _flush),
    "restart without persistence": (None, _forget),
    "rolled-back snapshot": (_snapshot, _roll_back),
}


async def losing(
    binary: servers.Binary, folder: Path, seed: int, times: int
) -> dict[str, Any]:
    """Lose the data again and again, in each way so often, and judge."""
    chance = random.Random(seed)
    grids = 4
    with Server(binary) as server:
        start = float(int(server_now(server)) + 4)
        async with cluster(
            server, folder, seed, lease=LEASE, beat=BEAT, grids=grids, start=start
        ) as made:
            # The client has nothing declared, and would hold back nothing.
            faults: list[Fault] = []
            losses: list[tuple[float, float]] = []
            alarms: list[dict[str, float | None]] = []
            await asyncio.sleep(max(0.0, start - time.time()) + 1.0)
            for kind in chance.sample(list(LOSSES) * times, len(LOSSES) * times):
                before, lose = LOSSES[kind]
                if before is not None:
                    await asyncio.to_thread(before, server)
                    await asyncio.sleep(chance.uniform(1.0, 2.0))
                begin, since = time.time(), monotonic()
                await asyncio.to_thread(lose, server)
                back = monotonic()
                fault = Fault(kind, "*", begin, round(back - since, 3))
                found = await _alarms(made, since)
                late = [at - back for at in found.values() if at is not None]
                fault.recovered = round(max(late), 3) if late else None
                faults.append(fault)
                losses.append((since, back))
                alarms.append(found)
                await asyncio.sleep(BEAT + SLACK + chance.uniform(0.5, 1.5))
            until = monotonic() - 1.0
            judge = Losses(
                {
                    f"grid-{n}": (int(start * 1e6) + n * 100_000, 500_000)
                    for n in range(grids)
                },
                losses,
                alarms,
                [(peer.id, line) for peer, line in made.fleet.lines("start")],
                time.time() - monotonic(),
                until,
                BEAT,
                SLACK,
            )
            wrong = judge.wrong()
            dead = [x.peer.log()[-1500:] for x in made.links if not x.peer.alive]
    named: dict[str, int] = defaultdict(int)
    for _, _, name in judge.named():
        named[name.partition(" ")[0]] += 1
    return {
        "faults": [asdict(fault) for fault in faults],
        "wrong": wrong,
        "trouble": dead,
        "named": dict(named),
    }


async def _alarms(made: Cluster, since: float) -> dict[str, float | None]:
    """Wait for an alarm of each peer, for a while; return when it came."""

    def raised(link: Link) -> float | None:
        at = [x.at for x in link.peer.lines("data_lost") if x.at >= since]
        return at[0] if at else None

    with suppress(AssertionError):
        await wait_until(
            lambda: all(raised(link) is not None for link in made.living),
            "alarms",
            timeout=BEAT + SLACK + 5.0,
            poll=0.05,
        )
    return {link.peer.id: raised(link) for link in made.living}


# --- the report -----------------------------------------------------------------------


def table(faults: Sequence[dict[str, Any]], word: str) -> list[str]:
    """Return one line for each kind of fault."""
    by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for fault in faults:
        by_kind[fault["kind"]].append(fault)
    lines = [f"{'fault':<32}{'times':>6}{'median s':>10}{'worst s':>9}  {word}"]
    for kind, found in by_kind.items():
        took = sorted(f["recovered"] for f in found if f["recovered"] is not None)
        middle = f"{took[len(took) // 2]:.2f}" if took else "-"
        worst = f"{took[-1]:.2f}" if took else "-"
        lines.append(f"{kind:<32}{len(found):>6}{middle:>10}{worst:>9}")
    return lines


def told(report: dict[str, Any]) -> list[str]:
    """Return a report as lines of text."""
    kept, lost = report["kept"], report["lost"]
    faults = kept["faults"] + lost["faults"]
    return [
        *table(kept["faults"], "until work went on"),
        "",
        *table(lost["faults"], "until the last peer's alarm"),
        "",
        f"faults: {len(faults)} of {len({f['kind'] for f in faults})} kinds",
        f"runs: {kept['runs']}, acknowledged fires and jobs: {kept['acknowledged']}",
        f"slots: {kept['slots']}",
        f"second executions, by cause: {kept['explained']}",
        f"verbs refused meanwhile: {kept['refused']}",
        f"slots around losses: {lost['named']}",
        *(f"WRONG {one}" for one in problems(report)),
    ]


def problems(report: dict[str, Any]) -> list[str]:
    """Return everything that must not be."""
    kept, lost = report["kept"], report["lost"]
    found = [*kept["wrong"], *kept.get("late", ()), *kept["trouble"]]
    found += [*lost["wrong"], *lost["trouble"]]
    happened = {fault["kind"] for fault in kept["faults"] + lost["faults"]}
    return found + [
        f"{kind} never happened" for kind in (*KINDS, *LOSSES) if kind not in happened
    ]


async def run(
    binary: servers.Binary, folder: Path, seed: int, seconds: float, times: int
) -> dict[str, Any]:
    """Run both parts and return the report."""
    for part in ("kept", "lost"):
        (folder / part).mkdir()
    return {
        "kept": await keeping(binary, folder / "kept", seed, seconds),
        "lost": await losing(binary, folder / "lost", seed, times),
    }


def main(words: Sequence[str] | None = None) -> int:
    """Run it from the command line and print its table."""
    parser = argparse.ArgumentParser(description="cause faults of every kind")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--losses", type=int, default=6, help="of each kind")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--least", type=int, default=200, help="faults")
    parser.add_argument("--server", default="", help="its name begins so")
    parser.add_argument("--json", type=Path, default=None, help="where to write it")
    text = "where to leave what the peers wrote"
    parser.add_argument("--folder", type=Path, default=None, help=text)
    given = parser.parse_args(words)
    binary = next(x for x in servers.binaries() if x.name.startswith(given.server))
    seed = random.randrange(1_000_000) if given.seed is None else given.seed
    print(
        f"{binary.name}, {PEERS} peers, {os.cpu_count()} cores, seed {seed}, "
        f"lease {LEASE} s, beat {BEAT} s",
        flush=True,
    )
    with ExitStack() as stack:
        folder = given.folder
        if folder is None:
            made = tempfile.TemporaryDirectory(prefix="aiosched-chaos-")
            folder = Path(stack.enter_context(made))
        folder.mkdir(exist_ok=True)
        report = asyncio.run(run(binary, folder, seed, given.seconds, given.losses))
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=1))
    print("\n".join(told(report)))
    number = len(report["kept"]["faults"]) + len(report["lost"]["faults"])
    if number < given.least:
        print(f"only {number} faults of {given.least}")
    return int(bool(problems(report)) or number < given.least)


if __name__ == "__main__":
    sys.exit(main())
