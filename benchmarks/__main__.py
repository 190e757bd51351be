"""Run comparisons: ``python -m benchmarks [ROW ...] [--peers A,B] [--quick]``."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.comparisons import ROWS
from benchmarks.harness.places import RESULTS
from benchmarks.harness.rounds import Options, measure, write


def main() -> None:
    """Measure what is asked for, and write it down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--peers", default="", help="only these, as arq,taskiq/list")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of the jobs")
    parser.add_argument("--seconds", type=float, help="length of a timed round")
    parser.add_argument("--into", type=Path, default=RESULTS, help="folder of results")
    chosen = parser.parse_args()
    unknown = set(chosen.rows) - set(ROWS)
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    options = Options(
        rounds=chosen.rounds,
        quick=chosen.quick,
        peers=tuple(filter(None, chosen.peers.split(","))),
        seconds=chosen.seconds,
    )
    for row in chosen.rows or list(ROWS):
        module = ROWS[row]
        found = measure(row, module.TITLE, module.cases(options), options)
        print(f"+ {write(chosen.into, found)}", flush=True)


if __name__ == "__main__":
    main()
