"""Owners take devices and hand them over, by page and by interface."""

from datetime import timedelta

import httpx
import pytest

from core.pool import Pool, make_pool
from gateway.claims import service as claims
from gateway.claims.codes import shown_code
from maintenance.service import sign_link
from tests.fixtures.site import Site, csrf_of

OWNED = "hp-0000"  # of owner0, with tickets
NEW = {"name": "Nora New", "email": "nora@example.org", "password": "a good long password"}


@pytest.fixture
def pool(site: Site):

    opened = make_pool(site.settings.database_url, name="test")
    yield opened
    opened.close()


def free_device(site: Site, pool: Pool) -> str:
    """A device that nobody owns, as it leaves the factory; returns its code."""
    site.change(
        "insert into gateway.device (name, product_id, serial, shard, created_at)"
        " select 'hp-free', id, 'S-free', 1, now() from gateway.product limit 1"
    )
    return claims.label_code(pool, site.settings.key, name="hp-free", now=site.clock()).code


def owner_of(site: Site, device: str) -> object:
    ((email,),) = site.rows(
        "select o.email from gateway.device d left join gateway.owner o on o.id = d.owner_id"
        " where d.name = %s",
        device,
    )
    return email


def handed_over(site: Site, to: str = "owner1@example.org") -> httpx.Client:
    """owner0 hands a device over, the other one takes it a day later; returns the latter."""
    code = site.program("owner0@example.org").post(f"/api/v1/devices/{OWNED}/hand-over").json()
    site.clock.advance(timedelta(days=1))
    new = site.program(to)
    new.post("/api/v1/claims", json={"code": code["code"]}).raise_for_status()
    return new


def first_owner(site: Site) -> object:
    ((email,),) = site.rows(
        "select email from gateway.owner where id = %s", site.fleet.owner_ids[0]
    )
    return email


def test_an_owner_takes_a_device_with_its_code(site: Site, pool: Pool) -> None:
    code = free_device(site, pool)
    owner = site.program("owner1@example.org")

    taken = owner.post("/api/v1/claims", json={"code": code.lower(), "site": {"city": "Ulm"}})

    assert taken.status_code == 201
    shown = owner.get("/api/v1/devices/hp-free").json()["device"]
    assert shown["city"] == "Ulm"


def test_a_code_is_good_once(site: Site, pool: Pool) -> None:
    code = free_device(site, pool)
    site.program("owner1@example.org").post("/api/v1/claims", json={"code": code})

    again = site.program("owner0@example.org").post("/api/v1/claims", json={"code": code})

    assert again.status_code == 409
    assert "used" in again.json()["message"]


def test_the_label_of_a_registered_owner_s_device_takes_it_from_nobody(
    site: Site, pool: Pool
) -> None:
    code = claims.label_code(pool, site.settings.key, name=OWNED, now=site.clock()).code

    answer = site.program("owner1@example.org").post("/api/v1/claims", json={"code": code})

    assert answer.status_code == 409
    assert site.program("owner0@example.org").get(f"/api/v1/devices/{OWNED}").status_code == 200


def test_wrong_codes_are_slowed(site: Site, pool: Pool) -> None:
    code = free_device(site, pool)
    owner = site.program("owner1@example.org")

    answers = [
        owner.post("/api/v1/claims", json={"code": "0000-0000-0000-0000"}).status_code
        for _ in range(11)
    ]
    right = owner.post("/api/v1/claims", json={"code": code})

    assert answers == [404] * 10 + [429]
    assert right.status_code == 429
    site.clock.advance(timedelta(minutes=2))
    assert owner.post("/api/v1/claims", json={"code": code}).status_code == 201


def test_manufacturers_and_technicians_claim_nothing(site: Site, pool: Pool) -> None:
    code = free_device(site, pool)

    for email in ("maker@example.org", "tech0@example.org"):
        answer = site.program(email).post("/api/v1/claims", json={"code": code})
        assert answer.status_code == 403


def test_somebody_new_scans_the_code_and_has_an_account_and_the_device(
    site: Site, pool: Pool
) -> None:
    code = shown_code(free_device(site, pool))
    visitor = site.visitor()
    page = visitor.get(f"/claim/{code}")

    answer = visitor.post("/claim/register", data={"code": code, "city": "Ulm", **NEW})

    assert "S-free" in page.text
    assert answer.status_code == 303
    assert "hp-free" in visitor.get("/home").text
    assert owner_of(site, "hp-free") == "nora@example.org"


def test_nobody_becomes_an_owner_who_is_known_already(site: Site, pool: Pool) -> None:
    code = shown_code(free_device(site, pool))
    taken = {**NEW, "email": str(first_owner(site))}
    without_account = {**NEW, "email": "dealer-made@example.org"}
    site.change("insert into gateway.owner (name, email) values ('D', 'dealer-made@example.org')")

    answers = [
        site.visitor().post("/claim/register", data={"code": code, **person})
        for person in (taken, without_account)
    ]

    assert [answer.status_code for answer in answers] == [409, 409]
    assert "known" in answers[0].text
    assert owner_of(site, "hp-free") is None
    assert site.rows("select 1 from api.account where email = 'dealer-made@example.org'") == []


def test_without_a_good_code_nobody_gets_an_account(site: Site) -> None:
    answer = site.visitor().post("/claim/register", data={"code": "0000-0000-0000-0000", **NEW})

    assert answer.status_code == 409
    assert site.rows("select 1 from gateway.owner where email = 'nora@example.org'") == []


def test_an_owner_claims_on_the_page_and_a_foreign_form_does_not(site: Site, pool: Pool) -> None:
    code = shown_code(free_device(site, pool))
    owner = site.browser("owner1@example.org")
    secret = csrf_of(owner.get(f"/claim/{code}"))

    without = owner.post("/claim/take", data={"code": code})
    with_it = owner.post("/claim/take", data={"code": code, "csrf_token": secret})

    assert [without.status_code, with_it.status_code] == [403, 303]
    assert "hp-free" in owner.get("/home").text


@pytest.mark.parametrize("code", ["nonsense", "0000-0000-0000-0001", "<b>", "%00", "x" * 61])
def test_a_code_that_is_none_is_explained(site: Site, code: str) -> None:
    page = site.visitor().get(f"/claim/{code}")

    assert page.status_code in (404, 409, 422)


def test_only_the_owner_hands_a_device_over(site: Site) -> None:
    stranger = site.program("owner1@example.org").post(f"/api/v1/devices/{OWNED}/hand-over")
    technician = site.program("tech0@example.org").post(f"/api/v1/devices/{OWNED}/hand-over")

    assert [stranger.status_code, technician.status_code] == [404, 403]


def test_until_the_code_is_used_the_device_stays(site: Site) -> None:
    owner = site.browser("owner0@example.org")
    page = owner.get(f"/devices/{OWNED}/hand-over")

    made = owner.post(f"/devices/{OWNED}/hand-over", data={"csrf_token": csrf_of(page)})

    assert "<svg" in made.text
    assert owner.get(f"/devices/{OWNED}").status_code == 200


def test_the_former_owner_sees_nothing_any_more(site: Site) -> None:
    old = site.program("owner0@example.org")
    tickets = [t["id"] for t in old.get("/api/v1/tickets").json()["items"] if t["device"] == OWNED]

    handed_over(site)

    assert tickets
    paths = [f"/api/v1/devices/{OWNED}", f"/api/v1/devices/{OWNED}/export"]
    paths += [f"/api/v1/tickets/{ticket}" for ticket in tickets]
    assert {old.get(path).status_code for path in paths} == {404}
    left = {t["device"] for t in old.get("/api/v1/tickets").json()["items"]}
    assert OWNED not in left


def test_the_new_owner_sees_nothing_of_the_former(site: Site) -> None:
    (owner_id, site_id), *_ = site.rows(
        "select owner_id, site_id from gateway.device where name = %s", OWNED
    )
    site.change(
        "update gateway.owner set name = 'Canary Former', phone = '+49 999' where id = %s", owner_id
    )
    site.change(
        "update gateway.site set address = 'Canary Street 1', access_note = 'key under the canary' where id = %s",
        site_id,
    )
    site.change(
        "update maintenance.history set reason = 'canary reason' where device_id ="
        " (select id from gateway.device where name = %s)",
        OWNED,
    )
    site.change("update maintenance.notification set body_text = 'Dear Canary'")
    site.change("update maintenance.ticket set created_at = created_at - interval '1 year'")
    site.change("update maintenance.history set created_at = created_at - interval '1 year'")

    new = handed_over(site)
    browser = site.browser("owner1@example.org")

    tickets = [t for t in new.get("/api/v1/tickets").json()["items"] if t["device"] == OWNED]
    assert all(ticket["closed_at"] is None for ticket in tickets)
    pages = [
        new.get(f"/api/v1/devices/{OWNED}"),
        new.get("/api/v1/tickets"),
        *(new.get(f"/api/v1/tickets/{ticket['id']}") for ticket in tickets),
        browser.get("/home"),
        browser.get(f"/devices/{OWNED}"),
    ]
    for page in pages:
        assert page.status_code == 200
        assert "canary" not in page.text.lower()
        assert "+49 999" not in page.text
    name = new.get("/api/v1/products/heat_pump").json()["metrics"][0]
    asked = [
        client.get(f"/api/v1/devices/{OWNED}/samples", params={"metric": name}).json()["items"]
        for client in (new, site.program("maker@example.org"))
    ]
    assert [bool(items) for items in asked] == [False, True]


def test_links_in_messages_end_with_the_ownership(site: Site) -> None:
    ticket_id = next(
        t["id"]
        for t in site.program("owner0@example.org").get("/api/v1/tickets").json()["items"]
        if t["device"] == OWNED and t["closed_at"] is None
    )
    old_id, new_id = site.fleet.owner_ids[:2]
    key = site.settings.key
    old = [
        sign_link(key, ticket_id=ticket_id, owner_id=old_id),
        sign_link(key, ticket_id=ticket_id),
    ]
    new = sign_link(key, ticket_id=ticket_id, owner_id=new_id)
    visitor = site.visitor()
    before = [visitor.get(f"/t/{token}").status_code for token in (*old, new)]

    handed_over(site)

    after = [visitor.get(f"/t/{token}").status_code for token in (*old, new)]
    assert before == [200, 200, 404]
    assert after == [404, 404, 200]
    assert visitor.get(f"/api/v1/links/{old[0]}").status_code == 404
    assert visitor.post(f"/t/{old[0]}/visit/cancel").status_code == 404


def test_a_booked_visit_is_called_off(site: Site) -> None:
    owner = site.program("owner0@example.org")
    ticket = next(
        t
        for t in owner.get("/api/v1/tickets").json()["items"]
        if t["device"] == OWNED and t["state"] == "open"
    )
    slot = owner.get(f"/api/v1/tickets/{ticket['id']}/slots").json()["items"][0]
    wish = {"starts_at": slot["starts_at"], "technician_id": slot["technician_id"]}
    owner.post(f"/api/v1/tickets/{ticket['id']}/appointment", json=wish).raise_for_status()

    new = handed_over(site)

    assert new.get(f"/api/v1/tickets/{ticket['id']}").json()["ticket"]["state"] == "open"


def test_the_manufacturer_transfers_and_knows_who_had_it(site: Site) -> None:
    maker = site.program("maker@example.org")

    done = maker.post(
        f"/api/v1/devices/{OWNED}/transfer", json={"email": "Nora@example.org", "name": "Nora"}
    )

    assert done.status_code == 201
    owners = maker.get(f"/api/v1/devices/{OWNED}/owners").json()
    assert [o["how"] for o in owners][-1] == "transferred"
    assert owners[-1]["email"] == "nora@example.org"
    assert site.program("owner0@example.org").get(f"/api/v1/devices/{OWNED}").status_code == 404


def test_two_who_claim_at_once_are_one_and_a_conflict(site: Site, pool: Pool) -> None:
    code = free_device(site, pool)
    both = [site.program(f"owner{i}@example.org") for i in (0, 1)]

    answers = sorted(c.post("/api/v1/claims", json={"code": code}).status_code for c in both)

    assert answers == [201, 409]
