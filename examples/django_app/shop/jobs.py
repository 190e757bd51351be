"""The jobs of the shop, and the scheduler that runs them.

It is no module of models: ``shop.asgi`` and ``shop.worker`` import it when Django
is ready.
"""

from django.conf import settings
from django.db.models import F

from aiosched import IntervalTrigger, Job, Scheduler
from aiosched.integrations.django import uses_orm
from shop.models import Order


@uses_orm
def bill(order_id: int) -> str:
    """Bill an order; a plain function runs in a thread, as a view does."""
    order = Order.objects.get(pk=order_id)
    order.paid = True
    order.save(update_fields=["paid"])
    return f"{order.name} is paid"


@uses_orm
async def count() -> int:
    """Count the paid orders; a coroutine uses the methods that begin with a."""
    return await Order.objects.filter(paid=True).aupdate(counted=F("counted") + 1)


def build(*, run_jobs: bool = True) -> Scheduler:
    """Build a peer, or a client that runs nothing."""
    scheduler = Scheduler(settings.STORE, namespace="shop", run_jobs=run_jobs)
    scheduler.register(bill)
    scheduler.register(count)
    scheduler.declare(Job(count, id="count", trigger=IntervalTrigger(seconds=1)))
    return scheduler
