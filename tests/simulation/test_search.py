"""Many seeds: sums, processes, and what never happened."""

from __future__ import annotations

import functools
import os
from collections import Counter
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from aiosched.testing import __main__ as command
from aiosched.testing.simulation.cases import (
    Case,
    CaseReport,
    Finding,
    run_case,
)
from aiosched.testing.simulation.incidents import KINDS, parse_incidents
from aiosched.testing.simulation.logbook import Logbook
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


def counted(case: Case) -> CaseReport:
    RAN.append(case.seed)
    return report(case.seed, fails=case.seed == 3, claims=5)


RAN: list[int] = []


def test_jobs_that_are_spread_over_many_shards(tmp_path: Path) -> None:
    dense = Case(2, "memory", commits=40)
    spread = Case(2, "memory", commits=40, shards=64)
    book = Logbook(tmp_path / "book.jsonl")
    search([dense, spread], stop_after=None, book=book)
    one, other = book.reports()
    assert one.digest != other.digest
    assert (one.case.shards, other.case.shards) == (None, 64)
    assert "--shards" not in one.case.replay
    assert "--shards 64" in other.case.replay
    assert run_case(other.case).digest == other.digest


CASES = [Case(seed, "redis" if seed % 5 == 0 else "memory") for seed in range(9)]


def told_by(statistics: Statistics) -> tuple[object, ...]:
    return (
        statistics.seeds,
        statistics.counts,
        statistics.commits,
        statistics.virtual,
        [one.case.seed for one in statistics.failed],
    )


def test_a_search_that_was_cut_goes_on_where_it_ended(tmp_path: Path) -> None:
    RAN.clear()
    file = tmp_path / "book.jsonl"
    first = search(CASES, run=counted, book=Logbook(file))
    assert first.total == 4
    resumed = search(CASES, run=counted, book=Logbook(file), stop_after=None)
    assert list(range(9)) == RAN
    assert told_by(resumed) == told_by(search(CASES, run=counted, stop_after=None))
    assert len(file.read_text().splitlines()) == 9


def test_a_line_that_was_cut_off_is_a_seed_that_was_not_run(tmp_path: Path) -> None:
    RAN.clear()
    file = tmp_path / "book.jsonl"
    search(CASES[:3], run=counted, book=Logbook(file))
    whole = file.read_text()
    for length in range(len(whole.rstrip()) - 3, whole.rindex("\n", 0, -1) + 2, -7):
        file.write_text(whole[:length])
        RAN.clear()
        again = search(CASES[:3], run=counted, book=Logbook(file))
        assert RAN == [2]
        assert again.total == 3
        assert [one.case.seed for one in Logbook(file).reports()] == [0, 1, 2]


def test_what_is_read_from_a_book_is_what_was_written(tmp_path: Path) -> None:
    case = Case(4, "memory", parse_incidents("crash:p1:12.3:4"), commits=40)
    found = Finding(1.5, "fence", "job", "text")
    counts = Counter({"claims": 3})
    given = CaseReport(case, (found,), counts, "ab", (), 60.25, 0.5)
    book = Logbook(tmp_path / "book.jsonl")
    book.write(given)
    book.close()
    (read,) = book.reports()
    assert read == given
    assert read.case.replay == given.case.replay


def test_other_cases_in_a_book_say_nothing_of_these(tmp_path: Path) -> None:
    book = Logbook(tmp_path / "book.jsonl")
    for case in (Case(1, "memory", commits=7), Case(1, "memory", planted="x")):
        book.write(CaseReport(case, (), Counter(), "", (), 1.0, 0.5))
    RAN.clear()
    assert search([Case(1, "memory")], run=counted, book=book).total == 1
    assert RAN == [1]


def test_a_process_that_dies_ends_the_search_and_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "book.jsonl"
    with pytest.raises(BrokenProcessPool):
        search(CASES, jobs=2, run=deadly, stop_after=None, book=Logbook(file))
    kept = [one.case.seed for one in Logbook(file).reports()]
    assert len(kept) == len(set(kept))
    assert 7 not in kept


def deadly(case: Case) -> CaseReport:
    if case.seed == 7:
        os._exit(1)
    return report(case.seed)


def test_each_thousand_seeds_has_to_have_seen_everything(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {f"incident {kind}" for kind in KINDS} | set(EFFECTS)
    names |= {"aborts", "unknown EXECs"}

    def run(case: Case) -> CaseReport:
        # The second thousand sees no deploy; the sum of both does.
        seen = names - ({"incident deploy"} if case.seed >= ENOUGH else set())
        return report(case.seed, **dict.fromkeys(seen, 1))

    monkeypatch.setattr(command, "search", functools.partial(search, run=run))
    assert command.main(["search", "--seeds", f"0..{ENOUGH - 1}", "--all"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("seeds, 0 with a rule broken") == ENOUGH // 100
    words = ["search", "--seeds", f"0..{2 * ENOUGH - 1}", "--all"]
    assert command.main(words) == 1
    assert capsys.readouterr().out.count("never happened: incident deploy") == 1
