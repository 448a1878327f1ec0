"""Who says which Sparkplug node speaks for which device."""

from tests.fixtures.site import Site

MAKER = "maker@example.org"
PATH = "/api/v1/devices/hp-0000/speaks-for"


def test_a_node_may_speak_for_a_device_until_it_may_no_longer(site: Site) -> None:
    maker = site.program(MAKER)

    given = [maker.put(f"{PATH}/hp-0001").status_code for _ in range(2)]
    pairs = site.rows(
        "select n.name, d.name from gateway.speaks_for s join gateway.device n on n.id = s.node_id"
        " join gateway.device d on d.id = s.device_id"
    )
    taken_back = [maker.delete(f"{PATH}/hp-0001").status_code for _ in range(2)]

    assert given == [204, 204]
    assert pairs == [("hp-0000", "hp-0001")]
    assert taken_back == [204, 404]


def test_nobody_speaks_for_itself_or_for_a_device_that_does_not_exist(site: Site) -> None:
    maker = site.program(MAKER)

    itself, unknown = maker.put(f"{PATH}/hp-0000"), maker.put(f"{PATH}/hp-9999")

    assert (itself.status_code, unknown.status_code) == (422, 404)
    assert "anyway" in itself.json()["message"]
