"""The shop as an ASGI application, with its jobs.

Django's own application refuses the lifespan protocol, so it is wrapped.
"""

import os

from django.core.asgi import get_asgi_application

from aiosched.integrations.asgi import SchedulerMiddleware

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
django_application = get_asgi_application()  # models may be imported from here on

from shop.jobs import build  # noqa: E402

application = SchedulerMiddleware(django_application, build)
