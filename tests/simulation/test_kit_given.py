"""What users give the kit: wrong arguments are refused, and what fails is told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aiosched import Context, IntervalTrigger, Job
from aiosched.errors import ConfigurationError, InvalidInputError
from aiosched.testing import Cluster, Incident, NeverCameWarning, run_virtual, simulate
from aiosched.testing.simulated import FailedSeed, over_seeds

pytest_plugins = ["pytester"]


@pytest.fixture
def cluster() -> None:
    """Stand for the plugin's fixture: the suite's own of that name is another."""


async def nothing(cluster: Cluster) -> None:
    await cluster.run(minutes=1)


CRASHES = "stall:p1:10:5;crash:p0:30:10;stall:p2:40:5"

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"peers": 0}, "peers=0: is out of range"),
    ({"peers": -1}, "peers=-1: is out of range"),
    ({"peers": "3"}, "peers='3': is not a whole number"),
    ({"store": "postgres"}, "store='postgres': is not simulated; .* memory, redis"),
    ({"store": []}, r"store=\[\]: is not simulated"),
    ({"latency": -1}, "latency=-1: is out of range"),
    ({"latency": float("nan")}, "latency=nan: is out of range"),
    ({"span": -5}, "span=-5: is not positive"),
    ({"executors": "report"}, "executors='report': are not a list"),
    ({"executors": [3]}, r"executors\[0\]=3: can never be run"),
    ({"incidents": "crash:p9:3"}, r"incidents\[0\].target='p9': is no peer"),
    ({"incidents": ["crash:p0:3"]}, r"incidents\[0\]='crash:p0:3': is no Incident"),
    ({"incidents": 7}, "incidents=7: are no incidents"),
    ({"incidents": "boom:p0:3"}, "'boom:p0:3': is no incident; write kind"),
]


@pytest.mark.parametrize(("given", "told"), WRONG, ids=lambda one: str(one)[:40])
def test_wrong_arguments_are_refused_before_anything_is_built(
    given: dict[str, Any], told: str
) -> None:
    async def whole() -> None:
        async with simulate(**given):
            pytest.fail("it was built")

    with pytest.raises(ConfigurationError, match=told) as caught:
        run_virtual(whole)
    assert caught.value.remedy
    with pytest.raises(ConfigurationError, match=told):
        over_seeds(nothing, 1, **given)


def test_a_seed_is_a_number() -> None:
    async def whole() -> None:
        async with simulate(seed="a"):  # type: ignore[arg-type]
            pytest.fail("it was built")

    with pytest.raises(ConfigurationError, match="seed='a': is not a whole number"):
        run_virtual(whole)


@pytest.mark.parametrize(
    ("seeds", "options", "told"),
    [
        (0, {}, "seeds=0: nothing would be run"),
        ([], {}, r"seeds=\[\]: nothing would be run"),
        ("ab", {}, "seeds='ab': are no seeds"),
        (["a"], {}, r"seeds\[0\]='a': is not a whole number"),
        (1, {"seed": 5}, r"seed=5: .* write seeds=\[5\]"),
        (1, {"sedonds": 5}, "sedonds=5: is no option; use .*seconds"),
        (1, {"seconds": -5}, "seconds=-5: is out of range"),
        (1, {"start": datetime(2027, 1, 1)}, "is no instant"),  # noqa: DTZ001
    ],
)
def test_wrong_options_of_a_test_over_seeds(
    seeds: Any, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        over_seeds(nothing, seeds, **options)


@pytest.mark.virtual
@pytest.mark.parametrize("days", [-1, float("inf"), "2", True, 1e300])
async def test_time_only_goes_forward(days: Any) -> None:
    async with simulate(peers=1) as cluster:
        with pytest.raises(InvalidInputError, match="days=") as caught:
            await cluster.run(days=days)
        assert caught.value.field == "days"


def made_wrong() -> list[tuple[Callable[[], Incident], str]]:
    any_text: Any = "7"
    return [
        (lambda: Incident.crash("p0", any_text), "at"),
        (lambda: Incident.crash("p0", 3, back=any_text), "seconds"),
        (lambda: Incident.crash(any_text and 3, 3), "target"),  # type: ignore[arg-type]
        (lambda: Incident.crash("p0", point="mid_run", ordinal=any_text), "ordinal"),
        (lambda: Incident.stall("p0", 3, seconds=float("nan")), "seconds"),
    ]


@pytest.mark.parametrize(("make", "field"), made_wrong())
def test_incidents_name_the_field_that_is_wrong(
    make: Callable[[], Incident], field: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert caught.value.field == field


def test_an_incident_that_never_came_is_told() -> None:
    async def whole() -> None:
        late = "stall:p1:5:1;crash:p0:99999"
        async with simulate(incidents=late) as cluster:
            await cluster.run(minutes=1)
            assert [str(one) for one in cluster.never_came] == ["crash:p0:99999"]

    with pytest.warns(NeverCameWarning, match="'crash:p0:99999': never happened"):
        run_virtual(whole)


def test_over_seeds_one_that_came_with_any_seed_is_not_told() -> None:
    async def longer(cluster: Cluster) -> None:
        await cluster.run(seconds=60 * cluster.world.seed)

    assert over_seeds(longer, [1, 2], incidents="stall:p1:90:1") is None
    with pytest.warns(NeverCameWarning, match="'stall:p1:150:1': never happened"):
        assert over_seeds(longer, [1, 2], incidents="stall:p1:150:1") is None


# -- failing in the same way ----------------------------------------------------------


def failing(test: Any, **options: Any) -> FailedSeed:
    failed = over_seeds(test, [3], **options)
    assert failed is not None
    return failed


def test_another_failure_of_one_type_is_another_failure() -> None:
    async def two_faults(cluster: Cluster) -> None:
        await cluster.run(minutes=2)
        assert cluster.world.counts["incident crash"] == 0, "the first"
        pytest.fail("the second")

    failures = (Exception, pytest.fail.Exception)
    failed = failing(two_faults, incidents=CRASHES, failures=failures)
    assert [str(one) for one in failed.incidents] == ["crash:p0:30:10"]
    assert "the first" in str(failed.error)
    assert isinstance(
        failing(two_faults, incidents="", failures=failures).error,
        pytest.fail.Exception,
    )


def test_what_a_test_runner_adds_to_failures_goes_through() -> None:
    async def skips(cluster: Cluster) -> None:
        pytest.skip(f"not with {cluster.world.seed}")

    with pytest.raises(pytest.skip.Exception, match="not with 3"):
        over_seeds(skips, [3], incidents="")


def test_the_mark_that_is_shown_has_all_that_was_given() -> None:
    async def fails(cluster: Cluster) -> None:
        raise AssertionError

    start = datetime(2027, 3, 27, tzinfo=UTC)
    terms = {"beat": 5, "lease": 15, "member_timeout": 15}
    failed = failing(
        fails, incidents="", peers=4, terms=terms, executors=[work], start=start
    )
    shown = str(failed).partition("@pytest.mark.simulate")[2]
    names: dict[str, Any] = {"datetime": __import__("datetime"), "work": work}
    given = eval(f"dict{shown}", names)
    assert given == {
        "seeds": [3],
        "incidents": "",
        "peers": 4,
        "terms": terms,
        "executors": [work],
        "start": start,
    }


# -- again -----------------------------------------------------------------------------


async def work(context: Context) -> float:
    drawn = random.random()
    await asyncio.sleep(drawn)
    return drawn


def test_the_replay_of_a_cluster_makes_the_same_again() -> None:
    seen: list[tuple[str, str]] = []

    async def go(cluster: Cluster) -> None:
        job = Job(work, trigger=IntervalTrigger(seconds=5), id="five")
        await cluster.peer("p3").scheduler.schedule(job)
        await cluster.run(minutes=5)
        seen.append((cluster.world.digest, cluster.replay))

    terms = {"beat": 5, "lease": 15, "member_timeout": 15}
    assert (
        over_seeds(
            go,
            [5],
            incidents=CRASHES,
            peers=4,
            terms=terms,
            executors=[work],
            latency=0.05,
            max_concurrency=3,
        )
        is None
    )
    line = seen[0][1]
    for _ in range(2):

        async def again() -> None:
            made = eval(line.replace("(", "(executors=[work],", 1), globals())
            async with made as cluster:
                await go(cluster)

        run_virtual(again)
    assert seen[0] == seen[1] == seen[2]


def test_the_replay_says_what_the_loop_was_given() -> None:
    async def replay() -> str:
        async with simulate(seed=3) as cluster:
            return cluster.replay

    start = datetime(2027, 3, 27, tzinfo=UTC)
    line = run_virtual(replay, start=start, seed=4)
    assert line.endswith(f"# run_virtual(..., start={start!r}, seed=4)")
    assert "run_virtual" not in run_virtual(replay)


def test_random_draws_from_the_seed_and_goes_on_as_before() -> None:
    async def draw(seed: int) -> float:
        async with simulate(seed=seed):
            return random.random()

    random.seed(99)
    before = random.getstate()
    first, other = run_virtual(lambda: draw(1)), run_virtual(lambda: draw(2))
    assert random.getstate() == before
    random.seed(7)
    assert run_virtual(lambda: draw(1)) == first != other


# -- the mark --------------------------------------------------------------------------


def test_marks_that_cannot_be_meant_fail(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pytester.makeconftest('pytest_plugins = ["aiosched.testing.plugin"]')
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.simulate(2)
        async def test_by_position(cluster):
            pass

        @pytest.mark.simulate(seeds=0)
        async def test_no_seeds(cluster):
            pass

        @pytest.mark.simulate(seeds=1)
        def test_without_async(cluster):
            pass

        @pytest.mark.simulate(seeds=1)
        class TestOnAClass:
            async def test_method(self, cluster):
                pass

        @pytest.mark.simulate(seeds=1, incidents="")
        async def test_says_fail(cluster):
            pytest.fail("mine")

        @pytest.mark.simulate(seeds=1, incidents="")
        async def test_did_not_raise(cluster):
            with pytest.raises(KeyError):
                await cluster.run(seconds=1)

        @pytest.mark.simulate(seeds=1, incidents="")
        async def test_skips(cluster):
            pytest.skip("not today")
        """
    )
    result = pytester.runpytest_subprocess(
        "-q", "-p", "no:valkey", "-o", "asyncio_mode=auto"
    )
    result.assert_outcomes(failed=5, errors=1, skipped=1)
    for line in (
        "*mark.simulate=(2,): takes no arguments by position; name them*",
        "*seeds=0: nothing would be run*",
        "*test_without_async*no coroutine function; write async def*",
        "*test_method*mark.simulate on the function itself*",
        "*Failed: mine*",
        "*fails with seed 0 and 0 incidents*seeds=[[]0], incidents=*",
        "*DID NOT RAISE*",
    ):
        result.stdout.fnmatch_lines([line])
