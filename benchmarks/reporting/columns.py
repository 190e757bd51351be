"""What each row of the page shows, and in which direction it is better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A figure of a table.

    Attributes:
        metric: Its name in the samples.
        title: Its name on the page.
        digits: After the point; above 100 none are shown.
        better: "more" or "less"; empty: neither.
        ranged: Whether least and greatest stand behind the median.
    """

    metric: str
    title: str
    digits: int = 1
    better: str = ""
    ranged: bool = False


@dataclass(frozen=True)
class Shown:
    """A table of the page."""

    text: str
    columns: tuple[Column, ...]

    @property
    def main(self) -> Column:
        """Return the figure that decides who is ahead."""
        return next(one for one in self.columns if one.better)


_P50 = Column("p50_ms", "p50, ms", 2, "less", ranged=True)
_P99 = Column("p99_ms", "p99, ms", 2, "less", ranged=True)
_DONE = Column("done", "ran", 0)
_DOUBLES = Column("doubles", "run twice", 0)
_EARLY = Column("early", "early", 0)
_WORK = (
    Column("jobs_per_second", "jobs/s", 0, "more", ranged=True),
    Column("cpu_us", "µs CPU a job", 1, "less", ranged=True),
    Column("worker_us", "worker", 1),
    Column("server_us", "server", 1),
    Column("commands", "commands a job", 2, "less"),
    Column("round_trips", "answers a job", 3, "less"),
    _DONE,
    _DOUBLES,
)

SHOWN: dict[str, Shown] = {
    "drain": Shown(
        "Jobs wait in Redis; then one worker process starts.\n"
        "Clocked from the first start to the last; APScheduler 3, which takes all "
        "that is due before it runs the first, from its own start.\n"
        "Commands inside scripts and transactions count; *answers* are what the "
        "server sent back in one piece, which is a round trip.",
        _WORK,
    ),
    "workers": Shown(
        "The same with more processes on the same two cores: what counts is the "
        "CPU of a job beside that with one process.",
        _WORK,
    ),
    "enqueue": Shown(
        "One producer process, no worker.\n"
        "Where a library has no verb for many jobs, its *bulk* is 50 tasks.",
        (
            Column("bulk_per_second", "bulk, jobs/s", 0, "more", ranged=True),
            Column("bulk_cpu_us", "µs CPU a job", 1, "less"),
            Column("bulk_commands", "commands a job", 2),
            Column("concurrent_per_second", "50 tasks, jobs/s", 0, "more", ranged=True),
            Column("serial_us", "one at a time, µs", 0, "less", ranged=True),
        ),
    ),
    "lateness": Shown(
        "The instants are the same for all.\n"
        "Jobs that had not been stored by their instant do not count.",
        (_P50, _P99, Column("max_ms", "latest", 1), _EARLY, _DONE, _DOUBLES),
    ),
    "memory_lateness": Shown(
        "The same instants in one process, without a server.",
        (_P50, _P99, Column("max_ms", "latest", 1), _EARLY),
    ),
    "periodic": Shown(
        "A run up to 0.1 s before its second counts as early; one that is more than "
        "0.9 s late counts to the next second, and is twice there.",
        (_P50, _P99, Column("max_ms", "latest", 1), _EARLY, _DONE, _DOUBLES),
    ),
    "scale": Shown(
        "Bytes are what `used_memory` grew by.\n"
        "A worker is started on them; *start* is the time until it runs a job that "
        "is due, imports included.  Behind the slash: the same with an empty store.",
        (
            Column("bytes_per_job", "bytes a job", 0, "less"),
            Column("start_seconds", "start, s", 2, "less"),
            Column("start_seconds_empty", "/ empty", 2),
            Column("rss_mb", "RSS, MB", 1),
            Column("rss_mb_empty", "/ empty", 1),
            Column("idle_percent", "idle CPU, %", 2),
            Column("idle_percent_empty", "/ empty", 2),
            Column("stored_per_second", "stored/s", 0),
        ),
    ),
    "idle": Shown(
        "Ten seconds of a worker that has nothing to do, after it has begun.",
        (
            Column("commands_per_second", "commands/s", 2, "less"),
            Column("worker_percent", "worker CPU, %", 3, "less"),
            Column("server_percent", "server CPU, %", 3),
            Column("rss_mb", "RSS, MB", 1),
        ),
    ),
    "memory_store": Shown(
        "All jobs are due when the scheduler is let go; then as many of the future "
        "in a fresh process, whose memory is looked at.",
        (
            Column("jobs_per_second", "jobs/s", 0, "more", ranged=True),
            Column("cpu_us", "µs CPU a job", 1, "less"),
            Column("added_per_second", "added/s", 0),
            Column("bytes_per_job", "bytes a pending job", 0, "less"),
        ),
    ),
    "ledger": Shown(
        "Outcomes are those of real runs; bytes are all that the server then holds.",
        (
            Column("history_ms", "`history`, ms", 2, "less"),
            Column("why_ms", "`why`, ms", 2, "less"),
            Column("bytes_per_outcome", "bytes an outcome", 0, "less"),
        ),
    ),
    "resync": Shown(
        "Each job takes turns with a bare `PUBLISH` on raw connections; what is "
        "timed begins before `schedule` is called, so its transaction is in it.",
        (
            _P50,
            _P99,
            Column("floor_p50_ms", "PUBLISH p50", 3),
            Column("floor_p99_ms", "PUBLISH p99", 3),
        ),
    ),
    "burst": Shown(
        "From the instant to the start of the last job.",
        (
            Column("last_ms", "last start, ms", 0, "less", ranged=True),
            _P99,
            Column("largest_share", "largest share of a process", 2, "less"),
            Column("peers_that_ran", "processes that ran some", 0),
            _DONE,
            _DOUBLES,
        ),
    ),
    "growth": Shown(
        "What a job costs at ten times the work.",
        (
            Column("jobs_per_second", "jobs/s", 0, "more", ranged=True),
            Column("bulk_per_second", "bulk, jobs/s", 0, "more", ranged=True),
            Column("cpu_us", "µs CPU a job", 1, "less"),
            Column("bulk_cpu_us", "µs CPU a queued job", 1, "less"),
            Column("commands", "commands a job", 2),
            Column("bytes_per_job", "bytes a pending job", 0),
        ),
    ),
}
