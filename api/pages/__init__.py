"""The pages that people look at."""

from api.pages import (
    campaigns,
    claims,
    controls,
    devices,
    fleet,
    inbox,
    owner,
    sign_in,
    technician,
    tickets,
)

ROUTERS = (
    sign_in.router,
    claims.router,
    fleet.router,
    devices.router,
    controls.router,
    tickets.router,
    campaigns.router,
    owner.router,
    technician.router,
    inbox.router,
)
