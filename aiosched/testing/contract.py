"""What every store must do, as tests that a store of your own can run.

::

    from aiosched.testing.contract import JobStoreContract

    class TestMyStore(JobStoreContract):
        async def make_store(self):
            return MyStore("…")

The tests are plain coroutine methods with plain asserts.  With pytest let
pytest-asyncio run them (``asyncio_mode = "auto"``); with the standard library
inherit from :class:`unittest.IsolatedAsyncioTestCase` as well.  Each test has
a namespace of its own and leaves it behind, and ends by itself within seconds.
"""

from __future__ import annotations

from aiosched.testing.contract_guards import GuardsContract
from aiosched.testing.contract_index import IndexContract
from aiosched.testing.contract_ledger import LedgerContract
from aiosched.testing.contract_peers import PeersContract
from aiosched.testing.contract_races import RacesContract
from aiosched.testing.contract_signals import SignalsContract
from aiosched.testing.contract_transact import TransactContract

__all__ = ["JobStoreContract"]


class JobStoreContract(
    TransactContract,
    RacesContract,
    IndexContract,
    LedgerContract,
    SignalsContract,
    PeersContract,
    GuardsContract,
):
    """The contract of :class:`aiosched.abc.JobStore`, adversarially.

    Override ``make_store``.  Override ``advance`` where the store's clock is
    not the host's: it is to let at least so many seconds pass.  A store that
    can neither be opened on another thread (``threadable``) nor finish a
    transaction without suspending sets ``can_race = False``; one whose sessions
    keep no guards sets ``can_guard = False``.
    """
