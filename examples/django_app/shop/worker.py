"""The jobs of the shop without its pages: ``aiosched run shop.worker:build``."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
django.setup()

from shop.jobs import build  # noqa: E402

__all__ = ["build"]
