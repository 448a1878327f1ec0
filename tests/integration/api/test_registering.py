"""A manufacturer brings products, devices and people in over the interface."""

import httpx
import pytest

from gateway.sheet import sheet_path
from tests.fixtures.site import Site

SHEET = sheet_path("water_pump").read_text(encoding="utf-8")


def register(client: httpx.Client, sheet: str) -> httpx.Response:
    headers = {"content-type": "application/toml"}
    return client.post("/api/v1/products", content=sheet.encode(), headers=headers)


def device(number: int, **extra: object) -> dict[str, object]:
    return {
        "name": f"wp-{number:03}",
        "serial": f"S-{number}",
        "delivered_at": "2026-01-05T00:00:00Z",
        "owner": {
            "name": f"Owner {number % 4}",
            "email": f"new{number % 4}@example.org",
            "password": "a good long password",
        },
        "site": {"city": "Ulm", "timezone": "Europe/Berlin", "latitude": 48.4, "longitude": 10.0},
        **extra,
    }


@pytest.fixture(scope="module")
def shared_maker(shown: Site) -> httpx.Client:
    client = shown.program("maker@example.org")
    register(client, SHEET).raise_for_status()
    return client


@pytest.fixture
def maker(site: Site) -> httpx.Client:
    client = site.program("maker@example.org")
    register(client, SHEET).raise_for_status()
    return client


def test_a_sheet_is_new_once_and_then_brought_up_to_date(site: Site) -> None:
    client = site.program("maker@example.org")

    first, again = register(client, SHEET), register(client, SHEET)

    assert [first.status_code, again.status_code] == [201, 200]
    assert first.json() == {"name": "water_pump", "revision": 1}
    assert client.get("/api/v1/products/water_pump").json()["sheet_toml"] == SHEET


def test_a_sheet_with_a_fault_says_where(site: Site) -> None:
    answer = register(
        site.program("maker@example.org"), SHEET.replace('interval = "', 'interval = "x')
    )

    assert answer.status_code == 422
    assert "interval" in answer.text


def test_devices_get_their_credentials_once_and_owners_their_accounts(
    site: Site, maker: httpx.Client
) -> None:
    body = {"product": "water_pump", "devices": [device(n) for n in range(10)]}

    answer = maker.post("/api/v1/devices", json=body)

    assert answer.status_code == 201
    assert answer.json()["mqtt_url"].startswith("mqtt://")
    assert [item["name"] for item in answer.json()["items"]] == [f"wp-{n:03}" for n in range(10)]
    assert len({item["password"] for item in answer.json()["items"]}) == 10
    assert site.rows("select count(*) from api.account where email like 'new%%'") == [(4,)]
    signed_in = site.visitor().post(
        "/api/v1/session", json={"email": "new1@example.org", "password": "a good long password"}
    )
    assert signed_in.json()["role"] == "owner"


def test_a_device_that_exists_is_named_and_nothing_is_added(
    site: Site, maker: httpx.Client
) -> None:
    maker.post("/api/v1/devices", json={"product": "water_pump", "devices": [device(1)]})

    answer = maker.post(
        "/api/v1/devices", json={"product": "water_pump", "devices": [device(0), device(1)]}
    )

    assert answer.status_code == 409
    assert "wp-001" in answer.json()["message"]
    assert site.rows("select 1 from gateway.device where name = 'wp-000'") == []


@pytest.mark.parametrize(
    "extra",
    [
        {"name": "a/b"},
        {"name": "#"},
        {"role": "manufacturer"},
        {"serial": ""},
        {"serial": "a\u0000b"},
        {"site": {"latitude": 91}},
        {"owner": {"name": "x", "email": "no address"}},
        {"delivered_at": "2026-01-05T00:00:00"},
    ],
)
def test_a_device_that_cannot_be_one_is_refused(
    shared_maker: httpx.Client, extra: dict[str, object]
) -> None:
    body = {"product": "water_pump", "devices": [device(1, **extra)]}

    assert shared_maker.post("/api/v1/devices", json=body).status_code == 422


def test_technicians_are_added_once_by_their_address(site: Site, maker: httpx.Client) -> None:
    body = [
        {
            "name": "Ana",
            "email": "ana@example.org",
            "password": "a good long password",
            "skills": ["pump"],
            "timezone": "Europe/Berlin",
        }
    ]

    first = maker.post("/api/v1/technicians", json=body)
    again = maker.post("/api/v1/technicians", json=body)

    assert [first.status_code, again.status_code] == [201, 201]
    assert first.json() == again.json()
    assert site.rows("select role from api.account where email = 'ana@example.org'") == [
        ("technician",)
    ]


def test_a_refused_message_is_sent_through_the_door_again(site: Site) -> None:
    maker = site.program("maker@example.org")
    letter = maker.get("/api/v1/dead-letters").json()["items"][0]

    answer = maker.post(f"/api/v1/dead-letters/{letter['id']}/replay")

    assert answer.json() == {"id": letter["id"], "is_stored": False}
    assert maker.post("/api/v1/dead-letters/999/replay").status_code == 404
