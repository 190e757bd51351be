"""What the shop keeps."""

from django.db import models


class Order(models.Model):
    """An order of a customer."""

    name = models.CharField(max_length=100, unique=True)
    paid = models.BooleanField(default=False)
    counted = models.IntegerField(default=0)
