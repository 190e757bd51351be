"""A hundred jobs each second: is each run there, once, and how late?"""

from __future__ import annotations

import math
import time
from functools import partial

from benchmarks.comparisons.drain import marking
from benchmarks.comparisons.lateness import SETTLE, counts_of, figures
from benchmarks.harness import marked, server
from benchmarks.harness.contenders import Variant, contenders
from benchmarks.harness.figures import patient
from benchmarks.harness.processes import Adapter, AdapterError, pause, scratch, workers
from benchmarks.harness.rounds import Case, Metrics, Options

NAME = "periodic"
TITLE = "100 jobs at each whole second: start − second"
JOBS = 100
SECONDS = 3
PROCESSES = (1, 3)
_LEAD = 3.0
_PATIENCE = 1.5


def cases(options: Options) -> list[Case]:
    """Return us with one process and with three, and others as they are best."""
    seconds = round(options.seconds or SECONDS)
    return [
        Case(
            one,
            "1 process" if count == 1 else f"{count} processes",
            partial(periodic, one, count, seconds),
        )
        for one in contenders(NAME, options.peers)
        for count in counts_of(one, PROCESSES)
    ]


def periodic(variant: Variant, count: int, seconds: int) -> Metrics:
    """Run workers, and look at so many whole seconds."""
    total = JOBS * seconds
    first = float(math.ceil(time.time() + patient(SETTLE + _LEAD)))
    with server.server() as running, scratch() as folder:
        more = {
            **marking(running, folder, total),
            "BENCH_PERIODIC": str(JOBS),
            "BENCH_BASE": str(first),
            "BENCH_TICKS": str(seconds),
        }
        with workers(variant, running.url, count, more):
            settled = time.time() + patient(SETTLE)
            with Adapter(variant, "producer", running.url, more) as producer:
                variant.packages.update(producer.versions)
                pause(max(0.0, settled - time.time()))
                producer.ask(do="every", jobs=JOBS, first=first, times=seconds)
            stored = time.time()
            if stored >= first:
                raise AdapterError("the jobs were stored after the first second")
            pause(max(0.0, first + seconds - 1 + _PATIENCE - time.time()))
            marks = marked.read(folder, total)
    dues = [first + index % seconds for index in range(total)]
    return figures(marks, dues, min(stored, first - 1))
