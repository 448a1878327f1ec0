"""The REST interface under /api/v1, and the two addresses that a supervisor asks."""

from api.rest import (
    dead_letters,
    devices,
    health,
    links,
    products,
    schema,
    session,
    technicians,
    tickets,
    work_orders,
)

ROUTERS = (
    health.router,
    schema.router,
    session.router,
    products.router,
    technicians.router,
    devices.router,
    tickets.router,
    work_orders.router,
    links.router,
    dead_letters.router,
)
