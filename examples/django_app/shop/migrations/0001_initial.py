"""The first table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Creates the orders."""

    initial = True
    dependencies: list[tuple[str, str]] = []
    operations = [
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=100, unique=True)),
                ("paid", models.BooleanField(default=False)),
                ("counted", models.IntegerField(default=0)),
            ],
        ),
    ]
