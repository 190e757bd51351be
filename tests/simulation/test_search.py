"""Many seeds: sums, processes, and what never happened."""

from __future__ import annotations

from collections import Counter

from aiosched.testing.simulation.cases import Case, CaseReport, Finding
from aiosched.testing.simulation.incidents import KINDS
from aiosched.testing.simulation.search import (
    EFFECTS,
    ENOUGH,
    Statistics,
    never_happened,
    search,
    show_statistics,
)


def report(seed: int, *, fails: bool = False, **counts: int) -> CaseReport:
    found = (Finding(1.0, "fence", "job", "text"),) if fails else ()
    case = Case(seed, "redis" if seed % 5 == 0 else "memory")
    return CaseReport(case, found, Counter(counts), "", (), 60.0, 0.5)


def test_a_kind_of_incident_that_never_happened_is_told() -> None:
    statistics = Statistics()
    for seed in range(ENOUGH):
        statistics.add(report(seed))
    assert never_happened(statistics)
    names = {f"incident {kind}" for kind in KINDS} | set(EFFECTS)
    names |= {"aborts", "unknown EXECs"}
    statistics.counts.update(dict.fromkeys(names, 1))
    assert never_happened(statistics) == []
    for name in names:
        statistics.counts[name] = 0
        assert never_happened(statistics) == [name]
        assert f"never happened: {name}" in show_statistics(statistics)
        statistics.counts[name] = 1


def test_few_seeds_prove_nothing_either_way() -> None:
    statistics = Statistics()
    statistics.add(report(1))
    assert never_happened(statistics) == []


def test_sums_are_told_for_a_thousand_seeds() -> None:
    statistics = Statistics()
    for seed in range(4):
        statistics.add(report(seed, fails=seed == 3, claims=5, commits=100))
    shown = show_statistics(statistics)
    assert "1 with a rule broken" in shown
    (line,) = [one for one in shown.splitlines() if one.startswith("claims")]
    assert line.split() == ["claims", "20", "5000.0"]
    assert [one.case.seed for one in statistics.failed] == [3]


def test_several_processes_find_what_one_finds() -> None:
    cases = [Case(seed, "memory", commits=40) for seed in range(1, 4)]
    told: list[CaseReport] = []
    alone = search(cases, stop_after=None, told=told.append)
    assert [one.case.seed for one in told] == [1, 2, 3]
    others: list[CaseReport] = []
    search(cases, jobs=2, stop_after=None, told=others.append)
    digests = {one.case.seed: one.digest for one in told}
    assert digests == {one.case.seed: one.digest for one in others}
    assert alone.total == 3
    assert alone.counts["commits"] == sum(one.counts["commits"] for one in others)


def test_a_failure_ends_the_search() -> None:
    def run(case: Case) -> CaseReport:
        return report(case.seed, fails=case.seed in (3, 5))

    cases = [Case(seed) for seed in range(9)]
    assert search(cases, run=run).total == 4
    assert search(cases, run=run, stop_after=2).total == 6
    everything = search(cases, run=run, stop_after=None)
    assert everything.total == 9
    assert [one.case.seed for one in everything.failed] == [3, 5]
