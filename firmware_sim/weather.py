"""Outdoor temperature of a site: season, day, slow fronts. Pure, the same for all devices of a city."""

import numpy as np

from firmware_sim.model import Site
from firmware_sim.noise import FloatArray, IntArray, slow_noise

_DAY_S = 86_400
_YEAR_S = 365.25 * _DAY_S


def local_hour(site: Site, at_s: IntArray) -> FloatArray:
    return np.asarray((at_s + site.utc_offset_s) % _DAY_S / 3600.0)


def outdoor_c(site: Site, at_s: IntArray) -> FloatArray:
    """Outdoor temperature in degrees Celsius."""
    mean = 27 - 0.36 * abs(site.latitude)
    season = 0.21 * abs(site.latitude) * np.cos(2 * np.pi * (at_s / _YEAR_S - 0.545))
    if site.latitude < 0:
        season = -season
    front = 2.8 * slow_noise(site.weather_key, at_s, period_s=2 * _DAY_S)
    gust = 0.5 * slow_noise(site.weather_key + 1, at_s, period_s=3 * 3600)
    clear = 3.2 + 1.2 * slow_noise(site.weather_key + 2, at_s, period_s=_DAY_S)
    day = clear * np.cos(2 * np.pi * (local_hour(site, at_s) - 15) / 24)
    return np.asarray(mean + season + front + gust + day)
