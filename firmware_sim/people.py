"""Invented people at real cities: owners with a device at home, and technicians with skills. Pure."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class City:
    name: str
    timezone: str
    latitude: float
    longitude: float
    locale: str
    dial: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Household:
    """An owner and the site where the device stands."""

    owner: str
    email: str
    phone: str
    locale: str
    city: City
    site: str
    address: str
    latitude: float
    longitude: float
    access_note: str
    ignores_mail: bool
    answers_from_s: int = 0
    """Does not look at mail before, epoch seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Technician:
    name: str
    email: str
    phone: str
    skills: tuple[str, ...]
    city: City


CITIES = (
    City(name="Hamburg", timezone="Europe/Berlin", latitude=53.55, longitude=9.99, locale="de", dial="+49 40"),
    City(name="Copenhagen", timezone="Europe/Copenhagen", latitude=55.68, longitude=12.57, locale="en", dial="+45 33"),
    City(name="Vienna", timezone="Europe/Vienna", latitude=48.21, longitude=16.37, locale="de", dial="+43 1"),
    City(name="Lyon", timezone="Europe/Paris", latitude=45.76, longitude=4.84, locale="en", dial="+33 4 72"),
    City(name="Prague", timezone="Europe/Prague", latitude=50.08, longitude=14.44, locale="en", dial="+420 222"),
)  # fmt: skip
_GIVEN = (
    "Alma", "Bruno", "Clara", "Daria", "Emil", "Freja", "Gustav", "Hanna", "Ivo", "Jana", "Karim", "Lena",
    "Milan", "Nora", "Oskar", "Petra", "Quentin", "Rosa", "Sami", "Tereza", "Ulrik", "Vera", "Willem", "Yasmin",
    "Zdenek", "Amélie", "Björn", "Céline", "Dominik", "Elif",
)  # fmt: skip
_FAMILY = (
    "Albrecht", "Bertrand", "Christensen", "Dvořák", "Eriksen", "Fontaine", "Gruber", "Hansen", "Illmann",
    "Jansen", "Kovář", "Lindqvist", "Moreau", "Nowak", "Olsen", "Pichler", "Rasmussen", "Svoboda", "Thielke",
    "Urban", "Vogel", "Wagner", "Yilmaz", "Zeman", "Brandt", "Caron",
)  # fmt: skip
_STREETS = (
    "Orchard Lane",
    "Mill Road",
    "Harbour Street",
    "Linden Avenue",
    "Station Road",
    "Garden Row",
)
_SITES = ("Home", "Row house", "Apartment house", "Workshop", "Old school", "Farmhouse")
_NOTES = (
    "", "Ring at the side door.", "Key with the neighbour on the left.", "Dog in the garden, please call first.",
    "Unit stands behind the garage.", "Plant room in the basement, code 4711.",
)  # fmt: skip
_SKILLS = ("hvac", "refrigerant", "electrical", "pumps")
_ASCII = str.maketrans("áàäåčéèëěíïłñóöøřšťúůüýžæç", "aaaaceeeeiilnooorstuuuyzac")


def make_households(count: int, *, seed: int) -> tuple[Household, ...]:
    """Draw owners with addresses; about one in seven never answers a mail."""
    rng = np.random.default_rng([seed, 11])
    deaf = set(rng.permutation(count)[: round(0.15 * count)].tolist())
    made = []
    for i in range(count):
        city = CITIES[i % len(CITIES)]
        name = f"{_pick(rng, _GIVEN)} {_pick(rng, _FAMILY)}"
        made.append(
            Household(
                owner=name,
                email=f"{_mailbox(name)}.{i + 1}@owners.example.com",
                phone=f"{city.dial} 555 {rng.integers(1000, 9999)}",
                locale=city.locale,
                city=city,
                site=_pick(rng, _SITES),
                address=f"{rng.integers(1, 180)} {_pick(rng, _STREETS)}",
                latitude=round(city.latitude + float(rng.uniform(-0.12, 0.12)), 5),
                longitude=round(city.longitude + float(rng.uniform(-0.16, 0.16)), 5),
                access_note=_pick(rng, _NOTES),
                ignores_mail=i in deaf,
            )
        )
    return tuple(made)


def make_technicians(count: int, *, seed: int) -> tuple[Technician, ...]:
    """Draw technicians, one city after the other; all of them have all skills of the products."""
    rng = np.random.default_rng([seed, 12])
    made = []
    for i in range(count):
        name = f"{_pick(rng, _GIVEN)} {_pick(rng, _FAMILY)}"
        city = CITIES[i % len(CITIES)]
        made.append(
            Technician(
                name=name,
                email=f"{_mailbox(name)}.{i + 1}@service.example.com",
                phone=f"{city.dial} 555 {rng.integers(1000, 9999)}",
                skills=_SKILLS,
                city=city,
            )
        )
    return tuple(made)


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _mailbox(name: str) -> str:
    return name.lower().translate(_ASCII).replace(" ", ".")
