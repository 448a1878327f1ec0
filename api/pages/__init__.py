"""The pages that people look at."""

from api.pages import fleet, sign_in

ROUTERS = (sign_in.router, fleet.router)
