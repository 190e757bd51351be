"""The pages of the shop."""

from django.urls import path

from shop import views

urlpatterns = [
    path("orders", views.order),
    path("orders/<int:order_id>", views.paid),
    path("orders/<int:order_id>/history", views.history),
    path("count", views.counted),
    path("health", views.health),
]
