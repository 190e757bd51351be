"""Jobs that are run by a word: S3-07, 31, 43."""

from __future__ import annotations

import asyncio

import pytest

from aiosched import ArgumentsError, ConfigurationError, Context, Job, Scheduler
from aiosched.jobs.checks import KEYWORD_FORM
from tests.docs.pages import DOCS
from tests.seeds.stage import Stage
from tests.waiting import wait_until


@pytest.mark.seed("S3-07")
async def test_a_word_runs_its_jobs_with_what_is_said(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage:
        client, worker = await stage.two()

        @worker.executor
        async def paid(context: Context, id: int) -> None:  # noqa: A002 - the seed's
            print(f"{context.keyword}: {id}")

        await worker.schedule(Job("paid", keyword="invoice.paid"))
        await client.schedule(Job("note", id="other", keyword="invoice.sent"))
        [firing] = await client.fire_job("invoice.paid", {"id": 7})
        await client.result(firing, timeout=5)
        assert capsys.readouterr().out == "invoice.paid: 7\n"
        assert not stage.of("other")
        with pytest.raises(ArgumentsError):
            await worker.fire_job("invoice.paid", {"number": 7})
        assert await client.fire_job("nobody.listens") == []


@pytest.mark.seed("S3-07")
async def test_a_word_waits_for_peers_that_are_down(stage: Stage) -> None:
    async with stage:
        client = await stage.peer(run_jobs=False)
        await client.schedule(Job("note", id="a", keyword="k"))
        [firing] = await client.fire_job("k", {"value": "kept"})
        assert not stage.ran
        await stage.peer("late")
        assert await client.result(firing, timeout=10) == "kept"


@pytest.mark.seed("S3-07", "S3-43")
@pytest.mark.parametrize(
    "word", ["a b", "", "invoice.*", "invoice?", "a[b]", "tab\t", "x" * 201, 7]
)
async def test_a_word_of_another_form_is_refused_with_the_form(word: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Job("work", keyword=word)
    assert caught.value.field == "keyword"
    assert KEYWORD_FORM in caught.value.remedy
    async with Scheduler() as scheduler:
        with pytest.raises(ConfigurationError, match="keyword"):
            await scheduler.fire_job(word)


@pytest.mark.seed("S3-43")
async def test_words_of_the_stated_form_work(stage: Stage) -> None:
    async with stage:
        client, _ = await stage.two()
        words = ["x", "Rechnung.bezahlt/2:é", "x" * 200, "a|b%c{d}", "🦊"]
        for number, word in enumerate(words):
            await client.schedule(Job("note", id=f"j{number}", keyword=word))
        for number, word in enumerate(words):
            [firing] = await client.fire_job(word, {"value": number})
            assert firing.job_id == f"j{number}"
            assert await client.result(firing, timeout=5) == number


@pytest.mark.seed("S3-43")
def test_the_documents_state_the_form_that_is_checked() -> None:
    text = (DOCS / "howto" / "names.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("| Keyword"))
    for char in "*?[]":
        assert f"`{char}`" in row
        assert char in KEYWORD_FORM
    assert "1 to 200" in row
    assert KEYWORD_FORM.startswith("1 to 200")


@pytest.mark.seed("S3-31")
async def test_one_fire_is_one_run_a_job_whoever_listens(stage: Stage) -> None:
    async with stage:
        peers = [await stage.peer() for _ in range(3)]
        for job_id in ("a", "b"):
            await peers[0].schedule(Job("note", id=job_id, keyword="word"))
        firings = await peers[1].fire_job("word")
        assert [firing.job_id for firing in firings] == ["a", "b"]
        for firing in firings:
            await peers[2].wait(firing, timeout=5)
        assert [len(stage.of(i)) for i in ("a", "b")] == [1, 1]
        await asyncio.gather(peers[0].fire_job("word"), peers[2].fire_job("word"))
        await wait_until(lambda: len(stage.ran) == 6, "two more runs a job")
        await peers[0].drain(timeout=5)
        assert [len(stage.of(i)) for i in ("a", "b")] == [3, 3]
        assert len({(ran.job, ran.key) for ran in stage.ran}) == 6


@pytest.mark.seed("S3-31")
async def test_a_fire_that_is_repeated_under_its_id_is_one_fire(stage: Stage) -> None:
    async with stage:
        client, _ = await stage.two()
        await client.schedule(Job("note", id="a", keyword="word"))
        said = [await client.fire_job("word", fire_id="order-7") for _ in range(3)]
        assert said[0] == said[1] == said[2]
        await client.wait(said[0][0], timeout=5)
        await client.fire_job("word", fire_id="order-7")
        await client.drain(timeout=5)
        assert len(stage.of("a")) == 1
