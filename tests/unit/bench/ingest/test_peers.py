import json
from importlib import resources
from pathlib import Path

from bench.ingest.peers.recipes import peers
from bench.ingest.shapes import flat_payload, payload, shape_named
from gateway.codecs import decode

FIRST_MS = 1_764_000_000_000


def test_other_software_gets_the_same_sample_in_its_own_form() -> None:
    shape = shape_named("one_sample_3")

    flat = json.loads(flat_payload(shape, name="d-7", device=7, number=3, first_ms=FIRST_MS))
    ours = decode(payload(shape, device=7, number=3, boot=1, first_ms=FIRST_MS), arrived_ms=0)

    at_ms, values = ours.samples[0]
    assert flat == {"device": "d-7", "ts": at_ms, **values}


def test_every_peer_has_a_name_of_its_own(tmp_path: Path) -> None:
    found = peers(tmp_path)

    assert len({peer.name for peer in found}) == len(found) == 5
    assert all(peer.messages % 2000 == 0 for peer in found)


def test_the_flow_is_json_and_its_scripts_are_python() -> None:
    folder = resources.files("bench.ingest.peers")

    assert json.loads(folder.joinpath("flow.json").read_text(encoding="utf-8"))
    for name in ("one_insert", "batched", "with_pathway"):
        compile(folder.joinpath(f"{name}.py.txt").read_text(encoding="utf-8"), name, "exec")
