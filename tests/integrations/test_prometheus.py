"""Metrics: each fact counted once in a cluster, and gauges that tell the state."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import re
import threading
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from aiosched import (
    ConfigurationError,
    Context,
    IntervalTrigger,
    Job,
    MemoryJobStore,
    Retry,
    RowKind,
    Scheduler,
    SchedulerStateError,
)
from aiosched._engine.observing import Observer
from aiosched.integrations import prometheus
from aiosched.integrations.prometheus import OTHER, Metrics
from aiosched.testing import Fault, FaultyStore
from tests import waiting
from tests.docs.pages import DOCS, ROOT, table

wait_until = functools.partial(waiting.wait_until, timeout=60.0)

FAST: dict[str, Any] = {
    "lease": 2.0,
    "terms": {"beat": 0.3, "member_timeout": 2.0, "shards": 4},
}


MOST = 10


def fresh() -> Metrics:
    return Metrics(CollectorRegistry())


def scraped(metrics: Metrics) -> list[Any]:
    from prometheus_client import generate_latest

    text = generate_latest(metrics.registry).decode()
    return list(text_string_to_metric_families(text))


def total(families: list[Any], name: str, **labels: str) -> float:
    """Sum the samples of a name that have these labels."""
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


async def rows_of(scheduler: Scheduler) -> list[Any]:
    page = await scheduler._opened().ledger(limit=10_000)
    return list(page)


async def test_three_peers_on_a_server_count_each_row_of_the_ledger_once(
    redis_url: str,
) -> None:
    metrics = [fresh() for _ in range(3)]
    peers: list[Scheduler] = []
    for number, one in enumerate(metrics):
        scheduler = Scheduler(redis_url, name=f"p{number}", **FAST)

        @scheduler.executor
        async def work() -> int:
            return 1

        @scheduler.executor
        async def fail(context: Context) -> None:
            if context.attempt < 2:
                raise KeyError("once")

        @scheduler.executor
        async def slow() -> None:
            over = asyncio.Event()  # longer than the next slots take to come
            asyncio.get_running_loop().call_later(0.35, over.set)
            await over.wait()

        one.watch(scheduler)
        peers.append(scheduler)
    for scheduler in peers:
        await scheduler.start()
    first = peers[0]
    every = IntervalTrigger(milliseconds=100)
    tick = {"trigger": every, "max_runs": 8}
    await first.schedule_many(
        [
            *(Job("work", id=f"w{n}", queue=f"q{n % 2}", **tick) for n in range(6)),
            Job("slow", id="slow", overlap="skip", **{**tick, "max_runs": 3}),
            *(Job("fail", id=f"f{n}", retry=Retry(attempts=3)) for n in range(5)),
            *(Job("work", id=f"once{n}") for n in range(40)),
            Job("work", id="heard", keyword="go"),
        ]
    )
    for _ in range(7):
        await first.fire_job("go")
    await asyncio.gather(*(peer.drain(timeout=30) for peer in peers))
    await wait_until(lambda: _over(first), "repeating jobs to end")
    await asyncio.gather(*(peer.drain(timeout=30) for peer in peers))
    rows = await rows_of(first)
    families = [scraped(one) for one in metrics]
    for peer in peers:
        await peer.shutdown()

    def everywhere(name: str, **labels: str) -> float:
        return sum(total(each, name, **labels) for each in families)

    kinds = Counter[tuple[RowKind, bool]]()
    passed = Counter[RowKind]()
    for row in rows:
        kinds[row.kind, row.final] += 1
        if row.kind in (RowKind.SKIPPED, RowKind.MISSED):
            passed[row.kind] += row.count
    final = [row for row in rows if row.final]
    slots = sum(1 for row in final if row.count)
    assert slots >= 6 * 8 + 3 + 5 + 40
    assert len(final) - slots == 7
    assert everywhere("aiosched_fired_total", cause="slot") == slots
    assert everywhere("aiosched_fired_total", cause="asked") == 7
    assert everywhere("aiosched_outcomes_total", final="true") == len(final)
    for (kind, is_final), count in kinds.items():
        if kind in (RowKind.SUCCEEDED, RowKind.FAILED):
            word = "true" if is_final else "false"
            found = everywhere(
                "aiosched_outcomes_total", outcome=kind.value, final=word
            )
            assert found == count
    assert kinds[RowKind.FAILED, False] == 5
    assert everywhere("aiosched_skipped_total") == passed[RowKind.SKIPPED] > 0
    assert everywhere("aiosched_missed_total") == passed[RowKind.MISSED]
    attempts = len(final) + 5
    assert everywhere("aiosched_run_seconds_count") == attempts
    begun = everywhere("aiosched_lateness_seconds_count")
    assert begun + everywhere("aiosched_waited_seconds_count") == attempts
    assert everywhere("aiosched_claim_size_sum") == attempts
    assert everywhere("aiosched_fired_total", queue="q1") == 3 * 8
    # More than one peer had a part in it.
    assert sum(total(each, "aiosched_fired_total") > 0 for each in families) > 1


async def _over(scheduler: Scheduler) -> bool:
    return not await scheduler.job_exists("w0") and not await scheduler.job_exists(
        "slow"
    )


async def test_gauges_tell_of_a_full_peer_and_of_its_backlog() -> None:
    metrics, gate = fresh(), asyncio.Event()
    async with watched(metrics, name="full", max_concurrency=2) as scheduler:

        @scheduler.executor
        async def hold() -> None:
            await gate.wait()

        await scheduler.schedule_many([Job(hold, id=f"h{n}") for n in range(5)])
        await wait_until(
            lambda: total(scraped(metrics), "aiosched_waiting_for_room") == 3,
            "three to wait",
        )
        families = scraped(metrics)
        mine = {"namespace": "aiosched", "peer": "full"}
        assert total(families, "aiosched_running", **mine) == 2
        assert total(families, "aiosched_capacity", **mine) == 2
        assert total(families, "aiosched_due", **mine) == 3
        assert total(families, "aiosched_oldest_overdue_seconds", **mine) > 0
        assert total(families, "aiosched_peers", **mine) == 1
        assert total(families, "aiosched_healthy", **mine) == 1
        assert total(families, "aiosched_store_up", **mine) == 1
        assert total(families, "aiosched_service_up", service="timer") == 1
        assert abs(total(families, "aiosched_clock_offset_seconds")) < 1
        assert total(families, "aiosched_alarms_total", event="data_lost") == 0
        gate.set()
        await scheduler.drain(timeout=10)
        families = scraped(metrics)
        assert total(families, "aiosched_due") == 0
        assert total(families, "aiosched_settle_backlog") == 0
        assert total(families, "aiosched_transactions_total") > 0
        assert total(families, "aiosched_outcomes_total", outcome="succeeded") == 5
    # What has been shut down shows no state, and keeps its sums.
    families = scraped(metrics)
    assert not any(
        family.name == "aiosched_running" and family.samples for family in families
    )
    assert total(families, "aiosched_outcomes_total") == 5


def watched(metrics: Metrics, **options: Any) -> Scheduler:
    scheduler = Scheduler(MemoryJobStore(), **options)
    metrics.watch(scheduler)
    return scheduler


async def test_a_scrape_over_http_from_another_thread() -> None:
    metrics = fresh()
    with metrics.serve(0) as server:
        async with watched(metrics, name="web"):
            url = f"http://127.0.0.1:{server.port}/metrics"
            text = await asyncio.to_thread(_get, url)
            assert 'aiosched_healthy{namespace="aiosched",peer="web"} 1.0' in text
            assert (
                'aiosched_sample_age_seconds{namespace="aiosched",peer="web"}' in text
            )
        server.close()


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


async def test_a_scrape_while_the_loop_is_blocked_shows_the_last_sample() -> None:
    metrics = fresh()
    async with watched(metrics, name="busy"):
        assert total(scraped(metrics), "aiosched_healthy", peer="busy") == 1
        shown: list[Any] = []
        done = threading.Event()

        def scrape() -> None:
            shown.extend(scraped(metrics))
            done.set()

        thread = threading.Thread(target=scrape)
        thread.start()
        assert done.wait(20)  # on the loop's own thread: it cannot answer
        thread.join()
        assert total(shown, "aiosched_healthy", peer="busy") == 1
        assert total(shown, "aiosched_sample_age_seconds", peer="busy") >= 0.5


async def test_asgi_and_wsgi_show_the_same_registry() -> None:
    metrics = fresh()
    async with watched(metrics, name="here"):
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/metrics",
            "query_string": b"",
            "headers": [],
        }
        await metrics.asgi()(scope, receive, send)
        body = b"".join(message.get("body", b"") for message in sent)
        assert b'aiosched_healthy{namespace="aiosched",peer="here"} 1.0' in body
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": ""}
        answer = metrics.wsgi()(environ, lambda *_: None)
        assert b"aiosched_healthy" in b"".join(answer)


async def test_schedulers_of_one_process_have_labels_of_their_own() -> None:
    metrics, store = fresh(), MemoryJobStore()
    named = Scheduler(store, name="one")
    drawn, again = Scheduler(store), Scheduler(store)
    for scheduler in (named, drawn, again, named):
        metrics.watch(scheduler)
    async with named, drawn, again:
        families = scraped(metrics)
        for peer in ("one", "scheduler", "scheduler-2"):
            assert total(families, "aiosched_healthy", peer=peer) == 1
        assert total(families, "aiosched_healthy") == 3


async def test_labels_are_bounded_and_never_job_ids(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prometheus, "MOST_KINDS", MOST)
    metrics = fresh()
    async with watched(metrics) as scheduler:

        @scheduler.executor
        async def work() -> None: ...

        jobs = [
            Job("work", id=f"secret{n}", queue=f"queue-{n}") for n in range(MOST + 20)
        ]
        await scheduler.schedule_many(jobs)
        await scheduler.drain(timeout=20)
        families = scraped(metrics)
        assert total(families, "aiosched_fired_total") == MOST + 20
        assert total(families, "aiosched_fired_total", executor=OTHER) >= 20
        values = {
            value
            for family in families
            for sample in family.samples
            for value in sample.labels.values()
        }
        assert not any("secret" in value for value in values)
        assert len([v for v in values if v.startswith("queue-")]) <= MOST


async def test_an_outcome_whose_answer_was_lost_is_counted_once() -> None:
    metrics = fresh()
    store = FaultyStore(MemoryJobStore())
    scheduler = Scheduler(store, name="p")
    metrics.watch(scheduler)
    async with scheduler:

        @scheduler.executor
        async def work() -> None:
            # What comes next is the settling: it is done, and nobody says so.
            store.plan(Fault("transact", kind="lost_reply"))

        await scheduler.schedule(Job("work", id="w"))
        await wait_until(
            lambda: total(scraped(metrics), "aiosched_outcomes_total") > 0,
            "what an earlier try wrote to be found",
        )
        families = scraped(metrics)
        assert total(families, "aiosched_outcomes_total", final="true") == 1
        failures = "aiosched_store_failures_total"
        assert total(families, failures, error="unavailable") == 1
        assert total(families, "aiosched_fired_total") == 1


async def test_an_observer_that_fails_harms_nothing_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Bad(Observer):
        def wrote(self, told: object) -> None:
            raise RuntimeError("no")

        def began(self, start: object) -> object:
            raise RuntimeError("no")

        def carry(self) -> str:
            raise RuntimeError("no")

        def failed(self, error: object) -> None:
            raise RuntimeError("no")

    scheduler = Scheduler(FaultyStore(MemoryJobStore()))
    scheduler._observe(Bad())
    scheduler._observe(Bad())
    with caplog.at_level(logging.ERROR, "aiosched"):
        async with scheduler:

            @scheduler.executor
            async def work() -> int:
                return 7

            for _ in range(3):
                job = await scheduler.schedule(Job("work"))
                assert await scheduler.result(job, timeout=5) == 7
    told = [r for r in caplog.records if vars(r).get("action") == "observer_failed"]
    assert len(told) == 2 * 3  # wrote, began, carry


async def test_what_is_wrong_is_refused() -> None:
    metrics = fresh()
    with pytest.raises(ConfigurationError, match="already"):
        Metrics(metrics.registry)
    async with Scheduler() as started:
        with pytest.raises(SchedulerStateError, match="before start"):
            metrics.watch(started)
    with pytest.raises(ConfigurationError, match="peer"):
        metrics.watch(Scheduler(), peer="")
    with pytest.raises(ConfigurationError, match="port"):
        metrics.serve(70_000)
    with (
        metrics.serve(0) as server,
        pytest.raises(ConfigurationError, match="cannot be listened on"),
    ):
        metrics.serve(server.port)


# -- what is written about them -------------------------------------------------------


def _documented() -> dict[str, tuple[str, ...]]:
    page = (DOCS / "reference/metrics.md").read_text(encoding="utf-8")
    return table(page, "Metrics")


async def test_the_reference_page_has_every_metric_with_its_labels() -> None:
    metrics, found = fresh(), dict[str, tuple[str, str, str]]()
    for family in metrics.registry.collect():
        suffix = "_total" if family.type == "counter" else ""
        found[family.name + suffix] = family.type, "", family.documentation
    documented = _documented()
    assert list(documented) == sorted(found)
    for name, (kind, _, text) in documented.items():
        assert (kind, text) == (found[name][0], found[name][2]), name
    # Labels are known of what has series.
    gate = asyncio.Event()
    async with watched(metrics) as scheduler:

        @scheduler.executor
        async def work() -> None:
            await gate.wait()

        tick = IntervalTrigger(milliseconds=20)
        await scheduler.schedule(Job(work, id="w", trigger=tick, max_runs=3))
        await scheduler.schedule(Job(work, id="fired", keyword="go"))
        await scheduler.fire_job("go")
        await wait_until(
            lambda: total(scraped(metrics), "aiosched_running") == 2, "two runs"
        )
        gate.set()
        await scheduler.drain(timeout=10)
        checked: set[str] = set()
        for family in scraped(metrics):
            for sample in family.samples:
                base = sample.name
                for ending in ("_bucket", "_count", "_sum"):
                    base = base.removesuffix(ending)
                if base not in documented or base.endswith("_created"):
                    continue
                said = set(re.findall(r"`(\w+)`", documented[base][1]))
                real = set(sample.labels) - {"namespace", "peer", "le"}
                assert real == said, base
                checked.add(base)
    assert len(checked) > 25


EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize(
    "path",
    [
        EXAMPLES / "grafana-dashboard.json",
        EXAMPLES / "prometheus-alerts.yml",
        DOCS / "howto/metrics.md",
        DOCS / "explanation/watching.md",
    ],
    ids=lambda path: path.name,
)
def test_every_metric_that_is_named_exists(path: Path) -> None:
    known = {name: kind for name, (kind, _, _) in _documented().items()}
    real = set[str]()
    for name, kind in known.items():
        endings = ("_bucket", "_count", "_sum") if kind == "histogram" else ("",)
        real.update(name + ending for ending in endings)
        real.add(name)
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"\baiosched_[a-z_]+", text))
    assert named <= real | {"aiosched_jobs"}, named - real
    assert len(named) > 0


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    board = json.loads((EXAMPLES / "grafana-dashboard.json").read_text("utf-8"))
    assert board["title"] == "aiosched"
    assert board["schemaVersion"] >= 36
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) >= 12
    for panel in panels:
        assert panel["title"]
        where = panel["gridPos"]
        assert where["x"] >= 0
        assert where["x"] + where["w"] <= 24
        for target in panel.get("targets", ()):
            assert target["expr"].count("(") == target["expr"].count(")")
            assert "aiosched_" in target["expr"]


def test_the_labels_that_rules_and_panels_ask_for_exist() -> None:
    documented = _documented()
    page = (DOCS / "reference/metrics.md").read_text(encoding="utf-8")
    labels = set(re.findall(r"`(\w+)`", "".join(r[1] for r in documented.values())))
    labels |= {"namespace", "peer", "instance", "job", "le"}
    for name in ("grafana-dashboard.json", "prometheus-alerts.yml"):
        text = (EXAMPLES / name).read_text("utf-8").replace('\\"', '"')
        for group in re.findall(r"(?:by|without) ?\(([\w, ]+)\)", text):
            assert set(group.replace(" ", "").split(",")) <= labels
        for series, matchers in re.findall(r"\b(aiosched_\w+)\{([^}]*)\}", text):
            base = re.sub(r"_(bucket|count|sum)$", "", series)
            mine = set(re.findall(r"`(\w+)`", documented[base][1]))
            asked = set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", matchers))
            assert asked <= mine | {"namespace", "peer"}, series
            for event in re.findall(r'event="(\w+)"', matchers):
                assert f"`{event}`" in page
