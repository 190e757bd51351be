"""Write the page of the figures that were measured.

    python -m benchmarks.report [--results FOLDER] [--check]

Each row of the page stands in a file of ``benchmarks/results``; what stands between
two marks of ``docs/performance.md`` is made of them alone.  With ``--check`` nothing
is written, and the exit code is 1 if the page says something else.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.harness.places import PAGE, PLOTS, RESULTS
from benchmarks.reporting.columns import SHOWN
from benchmarks.reporting.figures import Found, best, lines, number
from benchmarks.reporting.targets import verdicts

BEGIN, END = "<!-- comparisons: begin -->", "<!-- comparisons: end -->"


def results(folder: Path = RESULTS) -> dict[str, Found]:
    """Read the figures of all rows that were measured, in the order of the page."""
    found = {}
    for name in SHOWN:
        path = folder / f"{name}.json"
        if path.exists():
            found[name] = json.loads(path.read_text(encoding="utf-8"))
    return found


def page(rows: Mapping[str, Found]) -> str:
    """Write the page's part about all rows."""
    if not rows:
        return "Nothing was measured yet."
    parts = [_machine(rows), _targets(rows), _losses(rows)]
    for name, found in rows.items():
        parts.append("\n".join(_row(name, found)))
    parts.append("\n".join(_settings(rows)))
    return "\n\n".join(part for part in parts if part)


def _machine(rows: Mapping[str, Found]) -> str:
    found = list(rows.values())
    machine = found[0]["machine"]
    revisions = ", ".join(sorted({f"`{one['revision']}`" for one in found}))
    dates = sorted({one["date"] for one in found})
    said = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return (
        f"Measured {said}, aiosched at {revisions}: {machine['processor']}, "
        f"{machine['system']}, CPython {machine['python']}, {machine['server']} "
        "without persistence on loopback.\n"
        "Every round asks everyone once, in turn, each on a server of its own; shown "
        "is the median of the rounds, behind it the least and the greatest.\n"
        "*Load* is the number of processes that wanted a processor; *share* is what "
        "was left of one for a process of our priority, 1 on an idle machine.\n"
        "Where the share is low, wall times say little: compare CPU, counts, and "
        "ratios inside a round."
    )


def _row(name: str, found: Found) -> Iterator[str]:
    shown = SHOWN[name]
    yield f"### {found['title']}"
    yield ""
    yield shown.text
    yield _conditions(found)
    if (PLOTS / f"bench-{name}.png").exists():
        yield ""
        yield f"![{found['title']}](images/bench-{name}.png)"
    yield ""
    yield from table(found)
    for line in lines(found):
        if line.failure:
            yield ""
            yield f"{line.who} ({line.case}) has no figures: {line.failure}."
    for who, reason in found.get("absent", []):
        yield ""
        yield f"{who} is not in this table: {reason}."


def _conditions(found: Found) -> str:
    loads = [one["load"] for one in found["samples"]]
    shares = [one["share"] for one in found["samples"]]
    less = "" if found["scale"] == 1 else f"  Only {found['scale']:.0%} of the jobs."
    if found["asked"]:
        less += f"  Only {', '.join(found['asked'])} were asked."
    word = "round" if found["rounds"] == 1 else "rounds"
    return (
        f"{found['rounds']} {word}, load {min(loads):.1f} to {max(loads):.1f}, "
        f"share {min(shares):.2f} to {max(shares):.2f}, "
        f"{found['seconds']} s in all.{less}"
    )


def table(found: Found) -> Iterator[str]:
    """Write the table of a row, line by line."""
    shown, given = SHOWN[found["row"]], lines(found)
    cased = len({line.case for line in given}) > 1
    columns = [
        one
        for one in shown.columns
        if any(line.median(one.metric) is not None for line in given)
    ]
    sized = any(len(set(line.values("jobs"))) for line in given)
    head = ["who", *(["case"] if cased else []), *(["jobs"] if sized else [])]
    yield "| " + " | ".join([*head, *(one.title for one in columns)]) + " |"
    yield "| " + " | ".join(["---"] * len(head) + ["---:"] * len(columns)) + " |"
    for line in given:
        if line.failure:
            continue
        cells = [f"**{line.who}**" if line.ours else line.who]
        cells += [line.case] if cased else []
        cells += [number(line.median("jobs"), 0)] if sized else []
        for column in columns:
            text = number(line.median(column.metric), column.digits)
            values = line.values(column.metric)
            if column.ranged and len(values) > 1:
                low, high = min(values), max(values)
                text += f" ({number(low, column.digits)}–{number(high, column.digits)})"
            cells.append(text)
        yield "| " + " | ".join(cells) + " |"


def _targets(rows: Mapping[str, Found]) -> str:
    found = verdicts(rows)
    if not found:
        return ""
    said = ["### Our targets", "", "| row | target | measured | |"]
    said.append("| --- | --- | ---: | --- |")
    for one in found:
        word = "reached" if one.reached else "**missed**"
        said.append(f"| {one.row} | {one.target} | {one.measured} | {word} |")
    return "\n".join(said)


def _losses(rows: Mapping[str, Found]) -> str:
    """Tell where somebody else is ahead of aiosched."""
    found = []
    for name, row in rows.items():
        given = lines(row)
        for case in dict.fromkeys(line.case for line in given):
            here = [line for line in given if line.case == case]
            for column in SHOWN[name].columns:
                if not column.better:
                    continue
                mine = best(here, column.metric, column.better, lambda one: one.ours)
                peer = best(here, column.metric, column.better)
                if mine is None or peer is None:
                    continue
                ours, theirs = mine.median(column.metric), peer.median(column.metric)
                assert ours is not None
                assert theirs is not None
                if ours == theirs or (ours > theirs) == (column.better == "more"):
                    continue
                found.append(
                    f"- {row['title']}, {case}, {column.title}: "
                    f"{peer.who} {number(theirs, column.digits)}, "
                    f"aiosched {number(ours, column.digits)}."
                )
    if not found:
        return ""
    return "\n".join(["### Where others are ahead", "", *found])


def _settings(rows: Mapping[str, Found]) -> Iterator[str]:
    told: dict[str, Found] = {}
    for row in rows.values():
        for key, one in row["contenders"].items():
            versions = {**told.get(key, {}).get("versions", {}), **one["versions"]}
            told[key] = {**one, "versions": versions}
    yield "### Versions and settings"
    yield ""
    yield "| who | set up | outcomes kept | versions |"
    yield "| --- | --- | --- | --- |"
    for one in told.values():
        said = ", ".join(f"{name} {text}" for name, text in one["versions"].items())
        yield f"| {one['who']} | {one['note']} | {one['outcomes']} | {said} |"


def written(text: str, rows: Mapping[str, Found]) -> str:
    """Return a page with its part made anew."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{page(rows)}\n\n{END}{tail}"


def main(words: list[str] | None = None) -> None:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    chosen = parser.parse_args(words)
    before = PAGE.read_text(encoding="utf-8")
    after = written(before, results(chosen.results))
    if chosen.check:
        sys.exit(
            0 if before == after else "docs/performance.md is not what was measured"
        )
    PAGE.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
