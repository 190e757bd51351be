"""``aiosched why``: one sentence on what became of a slot."""

from __future__ import annotations

from aiosched._api.explaining import Explanation
from aiosched.cli.codes import CannotError
from aiosched.cli.place import Place, work
from aiosched.cli.printable import printable
from aiosched.scheduler import Scheduler
from aiosched.triggers.inputs import parse_iso, read_wall, zone_name

__all__ = ["print_why"]


def print_why(job: str, instant: str, *, place: Place, tz: str | None = None) -> int:
    """Print why a job ran, ran late, or did not run.

    Args:
        job: The job's id.
        instant: ISO 8601 text with an offset, or wall time in ``tz``.
        place: Where the job is.
        tz: Name of a zone; None: the text has an offset.

    Returns:
        0; 1 if nothing is known.

    Raises:
        CannotError: The instant has no offset.
        InvalidInputError: The instant, zone or store cannot be used.
        StoreUnavailableError: The store does not answer.
    """
    zone = None if tz is None else zone_name(tz)
    if zone is None and parse_iso(instant, "INSTANT").utcoffset() is None:
        raise CannotError(
            f"INSTANT={instant!r}: has no offset; write it as "
            "2030-01-31T09:00+01:00, or say whose wall time it is: --tz "
            "Europe/Paris"
        )
    at = read_wall(instant, zone, "INSTANT")

    async def deed(scheduler: Scheduler) -> Explanation:
        return await scheduler.why(job, at)

    said = work(place, deed)
    print(printable(said))
    return 0 if said.known else 1
