"""The pages that people look at."""

from api.pages import controls, devices, fleet, inbox, owner, sign_in, technician, tickets

ROUTERS = (
    sign_in.router,
    fleet.router,
    devices.router,
    controls.router,
    tickets.router,
    owner.router,
    technician.router,
    inbox.router,
)
