"""The REST interface under /api/v1, and the two addresses that a supervisor asks."""

from api.rest import (
    campaigns,
    claims,
    configuration,
    dead_letters,
    device_commands,
    devices,
    health,
    history,
    links,
    products,
    schema,
    sending,
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
    claims.router,
    configuration.router,
    device_commands.router,
    history.router,
    sending.router,
    tickets.router,
    work_orders.router,
    links.router,
    dead_letters.router,
    campaigns.router,
)
