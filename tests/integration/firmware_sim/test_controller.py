"""A device that is configured, told what to do, throttled and updated, over a real broker."""

import pytest

from firmware_sim.clock import wall_s
from firmware_sim.history import FirmwareFault
from firmware_sim.image import Behaviour, make_image
from firmware_sim.payload import Body
from tests.integration.firmware_sim.peer import Peer, new_key
from tests.integration.firmware_sim.rig import Rig

DEVICE = "hp-1"
IMAGE = make_image(Behaviour(), version="4.4.0", size_bytes=10_500)


@pytest.fixture
def peer(open_broker):
    peer = Peer(port=open_broker.port, device=DEVICE)
    yield peer
    peer.close()


@pytest.fixture
def key():
    return new_key()


@pytest.fixture
def rigs(tmp_path, open_broker, key):
    """Makes the device, once."""
    made = []

    def make(*, with_key=True):
        return Rig(tmp_path, open_broker.port, made=made, key=key if with_key else None)

    yield make
    for rig in made:
        if not rig.is_over:
            rig.crash()


@pytest.fixture
def rig(rigs, peer):
    rig = rigs()
    rig.until(lambda: peer.heard["reported"])
    return rig


def answers(peer, command_id):
    return [said for said in peer.heard["answer"] if said["id"] == command_id]


def outcome(peer, command_id):
    return next((s for s in answers(peer, command_id) if s["state"] != "acknowledged"), None)


def test_a_device_takes_a_newer_configuration_and_keeps_it_through_a_crash(rig, peer):
    assert peer.heard["reported"][0] == {
        "version": 0,
        "reported": {"report_every_min": 1, "curve_offset_k": 0},
    }

    peer.say("config", {"version": 4, "desired": {"curve_offset_k": 1.5, "of_another_firmware": 1}})
    rig.until(lambda: len(peer.heard["reported"]) == 2)
    peer.say("config", {"version": 3, "desired": {"curve_offset_k": 5}})
    rig.until(lambda: len(peer.heard["reported"]) == 3)
    rig = rig.again()
    rig.until(lambda: len(peer.heard["reported"]) == 4)

    has = {"version": 4, "reported": {"report_every_min": 1, "curve_offset_k": 1.5}}
    assert peer.heard["reported"][1:] == [has, has, has]
    assert [entry.at_s for entry in rig.history.settings] == [rig.at_s]


def test_what_is_beyond_its_limits_is_clipped_and_reported_as_it_is(rig, peer):
    desired = {"curve_offset_k": 99, "report_every_min": 2.6}
    peer.say("config", {"version": 1, "desired": desired})
    rig.until(lambda: len(peer.heard["reported"]) == 2)

    assert peer.heard["reported"][1]["reported"] == {"report_every_min": 3, "curve_offset_k": 5}


def test_a_command_is_done_once_and_a_repeat_gets_the_same_outcome(rig, peer):
    command = {"id": "c-1", "name": "identify", "args": {"seconds": 3}, "deadline": 2**45}
    for repeat in (1, 2):
        peer.say("command", command | {"args": {"seconds": 3 * repeat}})
    rig.until(lambda: len(answers(peer, "c-1")) == 3)

    done = {"id": "c-1", "state": "done", "result": {"blinked_s": 3}}
    assert answers(peer, "c-1") == [{"id": "c-1", "state": "acknowledged"}, done, done]


def test_a_restart_is_a_new_boot_and_its_outcome_comes_after_it(rig, peer):
    peer.say("command", {"id": "c-2", "name": "restart", "args": {}, "deadline": 2**45})
    rig.until(lambda: outcome(peer, "c-2"))

    assert outcome(peer, "c-2")["result"] == {"boot": 2}
    assert [birth["boot"] for birth in peer.heard["birth"]] == [1, 2]
    peer.say("command", {"id": "c-2", "name": "restart", "args": {}, "deadline": 2**45})
    rig.until(lambda: len(answers(peer, "c-2")) >= 3)
    assert [birth["boot"] for birth in peer.heard["birth"]] == [1, 2]


def test_a_self_test_takes_a_moment_and_a_crash_in_the_middle_fails_it(rig, peer):
    peer.say("command", {"id": "c-3", "name": "self_test", "args": {}, "deadline": 2**45})
    rig.until(lambda: answers(peer, "c-3"))
    rig = rig.again()
    rig.until(lambda: outcome(peer, "c-3"))
    peer.say("command", {"id": "c-4", "name": "self_test", "args": {}, "deadline": 2**45})
    rig.until(lambda: outcome(peer, "c-4"))

    assert outcome(peer, "c-3")["state"] == "failed"
    assert outcome(peer, "c-4")["result"] == {"passed": True}


def test_an_unknown_command_and_one_after_its_deadline_fail_with_a_reason(rig, peer):
    peer.say("command", {"id": "c-5", "name": "dance", "args": {}, "deadline": 2**45})
    peer.say("command", {"id": "c-6", "name": "identify", "args": {}, "deadline": 1})
    rig.until(lambda: outcome(peer, "c-5") and outcome(peer, "c-6"))

    assert outcome(peer, "c-5")["result"] == {"error": "unknown command"}
    assert outcome(peer, "c-6")["result"] == {"error": "heard after its deadline"}


def test_a_throttled_device_waits_and_sends_the_same_again(rig, peer):
    rig.spool.append([(DEVICE, [Body(samples=1, encoded=b'[[1,{"power_w":1}]]')])], mark=1)
    rig.courier.wake()
    rig.until(lambda: peer.heard["telemetry"])

    limit = {"limit": "device.messages", "allowed": "600 per 60 s", "seq": 0, "boot": 1}
    peer.say("limit", limit | {"resets_at": round(wall_s() * 1000) + 1500})
    rig.until(rig.courier.problems)
    assert rig.courier.problems() == ["over the limit device.messages"]
    sent = len(peer.heard["telemetry"])
    rig.courier.run(0.7)
    assert len(peer.heard["telemetry"]) == sent
    rig.until(lambda: len(peer.heard["telemetry"]) > sent)

    assert peer.heard["telemetry"][-1] == peer.heard["telemetry"][0]
    peer.say("stored", {"boot": 1, "seq": 0})
    rig.until(lambda: rig.spool.waiting_in_all() == 0)


@pytest.mark.parametrize(
    "payload", [b"", b"\xff", b"[]", b'{"version": "x"}', b"[" * 5000, b"\0" * 7, b'{"id": 1}']
)
def test_nonsense_changes_nothing(rig, peer, payload):
    for kind in ("config", "command", "firmware", "chunk", "limit"):
        peer.say(kind, payload)
    peer.say("command", {"id": "c-7", "name": "identify", "args": {}, "deadline": 2**45})
    rig.until(lambda: outcome(peer, "c-7"))

    assert outcome(peer, "c-7")["state"] == "done"
    assert rig.memory.offer(DEVICE) is None


def test_a_device_loads_checks_and_runs_a_new_firmware(rig, peer, key):
    peer.offer(IMAGE, key=key)
    rig.until(lambda: len(peer.heard["birth"]) == 2)

    assert peer.served == list(range(11))
    born = peer.heard["birth"][1]
    assert born.pop("ts") > 0
    assert born == {"boot": 2, "firmware": "4.4.0", "product": "heat_pump"}
    states = peer.states()
    assert states == sorted(
        states, key=["downloading", "downloaded", "verified", "installing"].index
    )
    assert set(states) == {"downloading", "downloaded", "verified", "installing"}
    peer.offer(IMAGE, key=key)
    rig.until(lambda: peer.states()[-1] == "installed")


def test_a_download_goes_on_where_it_was_after_a_crash(rig, peer, key):
    peer.serves_max = 6
    peer.offer(IMAGE, key=key)
    rig.until(lambda: len(peer.served) == 6)
    rig.until(lambda: rig.memory.pieces(DEVICE) == 6)
    rig = rig.again()
    peer.serves_max = None
    rig.until(lambda: len(peer.heard["birth"]) == 2)
    peer.offer(IMAGE, key=key)
    rig.until(lambda: rig.courier.clients[DEVICE].firmware == "4.4.0")

    assert peer.served == list(range(11))


def test_a_device_that_restarts_midway_says_so_by_its_boot_and_goes_on(rig, peer, key):
    image = make_image(Behaviour(reboots_midway=1.0), version="4.4.0", size_bytes=10_500)
    peer.offer(image, key=key)
    rig.until(lambda: len(peer.heard["birth"]) == 2)
    peer.offer(image, key=key)
    rig.until(lambda: len(peer.heard["birth"]) == 3)

    assert [(b["boot"], b["firmware"]) for b in peer.heard["birth"]] == [
        (1, "4.2.1"),
        (2, "4.2.1"),
        (3, "4.4.0"),
    ]
    assert sorted(peer.served) == list(range(11))


def test_a_lost_piece_is_asked_for_again(rig, peer, key, monkeypatch):
    monkeypatch.setattr("firmware_sim.updating.ANSWER_WITHIN_S", 0.2)
    peer.serves_max = 2
    peer.offer(IMAGE, key=key)
    rig.until(lambda: len(peer.served) == 2)
    peer.serves_max = None
    rig.until(lambda: rig.courier.clients[DEVICE].firmware == "4.4.0")

    assert [said["chunk"] for said in peer.heard["fetch"]][:2] == [0, 2]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"sha256": "0" * 64}, "the checksum did not fit, 3 times"),
        ({"signature": "AAAA"}, "the signature does not fit"),
        ({"signature": "not base64"}, "the signature does not fit"),
        ({"version": "9.9.9"}, "the signature does not fit"),
    ],
)
def test_an_image_that_is_not_what_it_claims_is_refused(rig, peer, key, change, error):
    peer.offer(IMAGE, key=key, **change)
    rig.until(lambda: "failed" in peer.states())

    assert peer.heard["progress"][-1]["error"] == error
    assert rig.courier.clients[DEVICE].firmware == "4.2.1"
    assert rig.memory.image(DEVICE) == b""
    told = len(peer.heard["progress"])
    peer.offer(IMAGE, key=key, **change)
    rig.until(lambda: len(peer.heard["progress"]) > told)
    assert peer.heard["progress"][-1]["error"] == error


def test_a_genuine_image_of_another_product_or_key_is_refused(rig, peer, key):
    peer.offer(IMAGE, key=key, product="water_pump", campaign=3)
    rig.until(lambda: peer.states().count("failed") == 1)
    peer.offer(IMAGE, key=new_key(), campaign=4)
    rig.until(lambda: peer.states().count("failed") == 2)


def test_without_a_key_nothing_is_loaded(rigs, peer, key):
    rig = rigs(with_key=False)
    rig.until(lambda: peer.heard["reported"])

    peer.offer(IMAGE, key=key)
    rig.until(lambda: peer.states() == ["failed"])

    assert peer.served == []


def test_an_image_that_does_not_come_up_brings_the_old_one_back(rig, peer, key):
    image = make_image(Behaviour(rolls_back=1.0), version="4.4.0", size_bytes=10_500)
    for turn in (2, 3):
        peer.offer(image, key=key)
        rig.until(lambda turn=turn: len(peer.heard["birth"]) == turn)

    assert {birth["firmware"] for birth in peer.heard["birth"]} == {"4.2.1"}
    assert peer.served == list(range(11))


def test_installing_may_fail(rig, peer, key):
    image = make_image(Behaviour(fails=1.0), version="4.4.0", size_bytes=10_500)
    peer.offer(image, key=key)
    rig.until(lambda: "failed" in peer.states())

    assert [birth["boot"] for birth in peer.heard["birth"]] == [1]


def test_a_withdrawn_offer_is_forgotten(rig, peer, key):
    peer.serves_max = 2
    peer.offer(IMAGE, key=key)
    rig.until(lambda: len(peer.served) == 2)
    peer.say("firmware", {"campaign": 4, "cancelled": True})
    peer.say("firmware", {"campaign": 3, "cancelled": True})
    rig.until(lambda: rig.memory.offer(DEVICE) is None)

    assert rig.memory.image(DEVICE) == b""


def test_a_faulty_firmware_is_remembered_with_the_instant_from_which_it_runs(rig, peer, key):
    fault = FirmwareFault(failure_mode="fan_bearing", wear=0.7, days=5)
    image = make_image(Behaviour(fault=fault), version="4.4.0", size_bytes=10_500)
    peer.offer(image, key=key)
    rig.until(lambda: len(peer.heard["birth"]) == 2)

    rig = rig.again()

    (entry,) = rig.history.firmware
    assert (entry.at_s, entry.version, entry.fault) == (rig.at_s, "4.4.0", fault)
