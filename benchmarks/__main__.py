"""Run comparisons: ``python -m benchmarks [ROW ...] [--peers A,B] [--quick]``.

Figures go to ``benchmarks/results``, of which the page is made; those of a run with
fewer peers, fewer jobs or fewer rounds go to a folder that is not kept, and are
printed like the others.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from benchmarks.comparisons import ROWS
from benchmarks.harness.places import LOOK, RESULTS
from benchmarks.harness.rounds import Options, measure, write
from benchmarks.report import table

ROUNDS = 5


def main() -> None:
    """Measure what is asked for, and write it down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--peers", default="", help="only these, as arq,taskiq/list")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true", help="a tenth of the jobs")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the jobs")
    parser.add_argument("--full", action="store_true", help="a million jobs, too")
    parser.add_argument("--seconds", type=float, help="length of a timed round")
    parser.add_argument("--into", type=Path, help="folder of results")
    chosen = parser.parse_args()
    # Servers and workers are ended on the way out, also when this is killed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    unknown = set(chosen.rows) - set(ROWS)
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    scale = 0.1 if chosen.quick else chosen.scale
    partial = scale != 1 or chosen.peers or chosen.rounds < ROUNDS
    folder = chosen.into or (LOOK if partial else RESULTS)
    options = Options(
        rounds=chosen.rounds,
        scale=scale,
        peers=tuple(filter(None, chosen.peers.split(","))),
        seconds=chosen.seconds,
        full=chosen.full,
    )
    for row in chosen.rows or list(ROWS):
        module = ROWS[row]
        # What is counted rather than timed needs fewer rounds.
        rounds = min(chosen.rounds, getattr(module, "ROUNDS", chosen.rounds))
        cases = module.cases(options)
        for found in measure(row, module.TITLE, cases, rounds, options):
            path = write(folder, found)  # an interrupted run keeps its whole rounds
        print("", *table(found), "", f"+ {path}", sep="\n", flush=True)


if __name__ == "__main__":
    main()
