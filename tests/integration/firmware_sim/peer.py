"""The platform's side of a conversation, played by the test over a real broker."""

import base64
import hashlib
import json
import threading
import time
from collections import defaultdict

import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

CHUNK_BYTES = 1000


class Peer:
    """Hears everything, and says to one device what the test wants."""

    def __init__(self, *, port, device, shard="a3"):
        self.heard = defaultdict(list)
        """Messages of the device by kind, oldest first."""
        self.image = None
        self.serves_max = None
        """Pieces that are served at most; None: all that are asked for."""
        self.served = []
        self._base = f"fc/{shard}/{device}"
        subscribed = threading.Event()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id="peer", protocol=mqtt.MQTTv5
        )
        self._client.on_connect = lambda c, *_: c.subscribe(f"{self._base}/#", qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = lambda _c, _u, message: self._take(message)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert subscribed.wait(timeout=60)

    def say(self, kind, message):
        payload = message if isinstance(message, bytes) else json.dumps(message)
        self._client.publish(f"{self._base}/{kind}", payload, qos=1)

    def offer(self, image, *, key, product="heat_pump", campaign=3, **changes):
        """Offer an image as version 4.4.0, and serve its pieces from now on."""
        self.image = image
        digest = hashlib.sha256(image).digest()
        signed = b"forecare-firmware\0" + product.encode() + b"\x004.4.0\0" + digest
        offer = {
            "campaign": campaign,
            "version": "4.4.0",
            "size": len(image),
            "sha256": digest.hex(),
            "signature": base64.b64encode(key.sign(signed)).decode(),
            "chunk_bytes": CHUNK_BYTES,
        }
        self.say("firmware", offer | changes)

    def states(self):
        return [message["state"] for message in self.heard["progress"]]

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, message):
        kind = message.topic.rpartition("/")[2]
        if kind in {"config", "command", "firmware", "chunk", "stored", "limit"}:
            return
        said = json.loads(message.payload)
        self.heard[kind].append(said)
        if kind == "fetch" and self.image is not None:
            self._serve(**said)

    def _serve(self, campaign, chunk, count):
        for number in range(chunk, chunk + count):
            if self.serves_max is not None and len(self.served) >= self.serves_max:
                return
            body = self.image[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES]
            self.served.append(number)
            self.say("chunk", campaign.to_bytes(4, "big") + number.to_bytes(4, "big") + body)


def new_key():
    return Ed25519PrivateKey.generate()


def eventually(condition, *, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
