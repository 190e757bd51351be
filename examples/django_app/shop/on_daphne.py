"""The shop on Daphne: ``daphne shop.on_daphne:application``.

Daphne sends no lifespan, so its reactor does.
"""

from aiosched.integrations.twisted import attach_application
from shop.asgi import application

attach_application(application)
