"""Facts on their way out of the process: webhooks, pings, audit records.

An :class:`Outlet` sends each item until it has been taken, in order, beside the
runs and never in their way.  What it cannot keep it counts and tells of.
"""

from __future__ import annotations

from aiosched.delivery.outlet import Outlet, RefusedError, teller
from aiosched.delivery.reports import Counts, Tell
from aiosched.delivery.spool import Spool

__all__ = ["Counts", "Outlet", "RefusedError", "Spool", "Tell", "teller"]
