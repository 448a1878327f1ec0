"""A small platform for the simulator's tests: the REST contract over HTTP, and a `storer` on MQTT.

It knows nothing of the real one: what it promises is docs/reference/wire-format.md and the REST paths
that the simulator uses. It opens a ticket for each device named in `tickets_wanted`.
"""

import json
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


def instant(ms: float) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


class Storer:
    """Takes telemetry, keeps it in memory, answers `stored` up to the first missing number."""

    def __init__(self, *, host: str, port: int) -> None:
        self.samples: dict[str, dict[int, dict[str, float]]] = defaultdict(dict)
        self.messages: list[tuple[str, int, int]] = []
        self.lows: list[tuple[str, int, int, int]] = []
        self.births: list[tuple[str, dict[str, Any]]] = []
        self.wills: list[tuple[str, dict[str, Any]]] = []
        self.bodies: dict[tuple[str, int, int], list[Any]] = {}
        self.largest = 0
        self.is_deaf = False
        """While True it takes messages in and never says `stored`."""
        self._got: dict[tuple[str, int], set[int]] = defaultdict(set)
        self._done: dict[tuple[str, int], int] = defaultdict(lambda: -1)
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id="storer", protocol=mqtt.MQTTv5
        )
        self._subscribed = threading.Semaphore(0)
        self._client.on_connect = lambda c, *_: c.subscribe("fc/#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.release()
        self._client.on_message = lambda _c, _u, message: self._take(message)
        self._client.connect(host, port)
        self._client.loop_start()
        self.wait_until_subscribed()

    def wait_until_subscribed(self) -> None:
        """Wait for the next subscription: at the start, and after each restart of the broker."""
        assert self._subscribed.acquire(timeout=60)

    def _take(self, message: mqtt.MQTTMessage) -> None:
        _, shard, device, kind = message.topic.split("/")
        if kind not in {"birth", "will", "telemetry"}:
            return
        content = json.loads(message.payload)
        if kind == "birth":
            self.births.append((device, content))
        elif kind == "will":
            self.wills.append((device, content))
        elif not self.is_deaf:
            self._store(shard, device, content, len(message.payload))

    def _store(self, shard: str, device: str, content: dict[str, Any], size: int) -> None:
        boot, seq = content["boot"], content["seq"]
        self.largest = max(self.largest, size)
        self.messages.append((device, boot, seq))
        self.lows.append((device, boot, seq, content["low"]))
        known = self.bodies.setdefault((device, boot, seq), content["samples"])
        assert known == content["samples"], "a number was used for other samples"
        for ms, values in content["samples"]:
            self.samples[device][ms] = values
        key = (device, boot)
        self._got[key].add(seq)
        while self._done[key] + 1 in self._got[key]:
            self._done[key] += 1
        answer = json.dumps({"boot": boot, "seq": self._done[key]})
        self._client.publish(f"fc/{shard}/{device}/stored", answer, qos=1)

    def through_ms(self) -> float | None:
        newest = [max(samples) for samples in list(self.samples.values()) if samples]
        return min(newest) if newest else None

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@dataclass
class Platform:
    storer: Storer
    inbox: Path
    mqtt_url: str
    tickets_wanted: dict[str, str] = field(default_factory=dict)
    """Device name to failure mode; the ticket opens with the device's first progress."""
    products: list[str] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    orders: dict[int, dict[str, Any]] = field(default_factory=dict)
    findings: list[dict[str, Any]] = field(default_factory=list)
    starts: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, str]] = field(default_factory=list)
    """Forms that owners have filled in on the page behind a code."""
    url: str = ""

    def start(self) -> None:
        platform = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(*platform.get(self.path))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self._answer(*platform.post(self.path, body))

            def _answer(self, status: int, content: object) -> None:
                encoded = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02])
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def get(self, path: str) -> tuple[int, object]:
        if path.startswith("/api/v1/progress/"):
            self._open_tickets()
            through = self.storer.through_ms() if self._has_devices(path) else None
            at = instant(through) if through else None
            return 200, {
                "stored_through": at,
                "scored_through": at,
                "decided_through": at,
                "devices": 1,
            }
        if path.startswith("/api/v1/work-orders"):
            return 200, {"items": [o for o in self.orders.values() if o["state"] == "scheduled"]}
        if path.startswith("/api/v1/links/"):
            return self._link(int(path.rsplit("-", 1)[1]))
        return 404, {}

    def post(self, path: str, body: bytes) -> tuple[int, object]:
        if path == "/api/v1/session":
            return 200, {"token": "t", "role": "manufacturer", "expires_at": "2030-01-01T00:00:00Z"}
        if path == "/api/v1/products":
            self.products.append(body.decode())
            return 201, {"name": "x", "revision": 1}
        if path == "/claim/register":
            self.claims.append(dict(parse_qsl(body.decode())))
            return 303, {}
        content = json.loads(body)
        if path == "/api/v1/technicians":
            return 201, {
                "items": [{"id": i, "email": t["email"]} for i, t in enumerate(content, start=1)]
            }
        if path == "/api/v1/devices":
            self.owners |= {d["name"]: d["owner"]["email"] for d in content["devices"]}
            items = [
                {"name": d["name"], "shard": "a3", "password": "p"} for d in content["devices"]
            ]
            return 201, {"mqtt_url": self.mqtt_url, "items": items}
        number = int(path.split("/")[4].rsplit("-", 1)[-1])
        order = self.orders[number]
        if path.endswith("/appointment"):
            begin = datetime.fromisoformat(content["starts_at"])
            order |= {
                "state": "scheduled",
                "starts_at": begin.isoformat(),
                "ends_at": (begin + timedelta(hours=2)).isoformat(),
            }
            return 201, {"starts_at": order["starts_at"]}
        if path.endswith("/start"):
            self.starts.append({"order": number, **content})
            return 200, {}
        self.findings.append({"order": number, "device": order["device"], **content})
        order["state"] = "done"
        return 201, {}

    def _has_devices(self, path: str) -> bool:
        short = "".join(word[0] for word in path.rsplit("/", 1)[1].split("_"))
        return any(name.startswith(f"{short}-") for name in self.owners)

    def _open_tickets(self) -> None:
        open_for = {order["device"] for order in self.orders.values()}
        for device, mode in self.tickets_wanted.items():
            if device in open_for or not self.storer.samples.get(device):
                continue
            number = len(self.orders) + 1
            self.orders[number] = {
                "id": number,
                "ticket_id": number,
                "device": device,
                "failure_mode": mode,
                "component": "",
                "state": "ready",
                "checklist": ["Look"],
                "kit": [],
                "starts_at": None,
                "ends_at": None,
            }
            mail = (
                f"To: Somebody <{self.owners[device]}>\nSubject: A visit\n"
                f"Content-Type: text/plain\n\nPlease choose: http://127.0.0.1/t/token-{number}.\n"
            )
            (self.inbox / "new" / f"{number}.mail").write_text(mail)

    def _link(self, number: int) -> tuple[int, object]:
        order = self.orders[number]
        through = self.storer.through_ms()
        assert through is not None
        first = datetime.fromtimestamp(through / 1000, UTC) + timedelta(hours=24)
        slots = [
            {
                "starts_at": (first + timedelta(hours=6 * i)).isoformat(),
                "ends_at": (first + timedelta(hours=6 * i + 2)).isoformat(),
                "technician_id": 1,
            }
            for i in range(8)
        ]
        ticket = {
            "id": number,
            "device": order["device"],
            "state": "open" if order["state"] == "ready" else "resolved",
            "due_at": (first + timedelta(days=9)).isoformat(),
        }
        return 200, {"ticket": ticket, "slots": slots, "appointment": None}
