"""The pages of the shop: a plain view that schedules, and coroutines that look."""

import json

from asgiref.sync import async_to_sync
from django.db import transaction
from django.http import HttpRequest, JsonResponse

from aiosched import Job
from aiosched.integrations.asgi import scheduler_of
from shop.models import Order


def order(request: HttpRequest) -> JsonResponse:
    """Take an order, and have it billed once it is committed.

    A plain view runs in a thread; ``async_to_sync`` goes to the server's loop, which
    is the scheduler's.
    """
    schedule = async_to_sync(scheduler_of(request).schedule)
    with transaction.atomic():
        made = Order.objects.create(name=json.loads(request.body)["name"])
        job = Job("bill", args=(made.pk,), id=f"bill-{made.pk}")
        transaction.on_commit(lambda: schedule(job))
    return JsonResponse({"id": made.pk}, status=202)


async def paid(request: HttpRequest, order_id: int) -> JsonResponse:
    """Return what became of the bill, waiting for it a while."""
    result = await scheduler_of(request).result(f"bill-{order_id}", timeout=10)
    stored = await Order.objects.aget(pk=order_id)
    return JsonResponse({"result": result, "paid": stored.paid})


async def history(request: HttpRequest, order_id: int) -> JsonResponse:
    """Show what happened to the bill, newest first."""
    entries = await scheduler_of(request).history(f"bill-{order_id}")
    found = [{"at": str(e.at), "kind": e.kind} for e in entries]
    return JsonResponse({"history": found})


async def counted(request: HttpRequest) -> JsonResponse:
    """Return how often the first order was counted."""
    first = await Order.objects.afirst()
    return JsonResponse({"counted": first.counted if first else 0})


async def health(request: HttpRequest) -> JsonResponse:
    """Say whether this process does its duty."""
    found = scheduler_of(request).health()
    return JsonResponse({"ok": found.ok}, status=200 if found.ok else 503)
