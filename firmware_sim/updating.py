"""A device's side of a firmware update: loads the image piece by piece, checks it, installs it.

Pieces are on disk as they come, so a restart in the middle goes on where it was. Nothing is installed
unless its checksum fits and its signature was made with the key that the device was given. The
signature covers product and version too: a genuine image of another product is refused.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from firmware_sim import log
from firmware_sim.backoff import full_jitter_s
from firmware_sim.errors import SimulatorError
from firmware_sim.history import FirmwareFrom, History
from firmware_sim.image import Behaviour, read_behaviour
from firmware_sim.memory import KeptOffer, Memory
from firmware_sim.noise import key_of
from firmware_sim.said import Said, say

WINDOW_PIECES = 4
ANSWER_WITHIN_S = 10.0
INSTALL_S = (0.5, 2.0)
"""Shortest and longest time that installing takes, wall time."""
_TRIES_MAX = 3
_IMAGE_BYTES_MAX = 64 * 1024 * 1024
_HEAD_BYTES = 8
_REPORTS = 10


class _Offer(msgspec.Struct, frozen=True):
    campaign: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
    cancelled: bool = False
    version: Annotated[str, msgspec.Meta(max_length=64)] = ""
    size: Annotated[int, msgspec.Meta(ge=0, le=_IMAGE_BYTES_MAX)] = 0
    sha256: str = ""
    signature: str = ""
    chunk_bytes: Annotated[int, msgspec.Meta(ge=64, le=65_536)] = 16_384

    @property
    def pieces(self) -> int:
        return -(-self.size // self.chunk_bytes)

    @property
    def what(self) -> tuple[str, int, str]:
        """What tells one image from another."""
        return self.version, self.size, self.sha256

    def piece_bytes(self, number: int) -> int:
        return min(self.chunk_bytes, self.size - number * self.chunk_bytes)


_decoder = msgspec.json.Decoder(_Offer)


def read_key(path: Path) -> Ed25519PublicKey:
    """Read the manufacturer's public key, with which devices check signatures."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SimulatorError(
            f"{path} holds no public key: {error}", hint="give a PEM file"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise SimulatorError(
            f"{path} holds a key of another kind", hint="it must be an Ed25519 key"
        )
    return key


@dataclass(frozen=True, slots=True, kw_only=True)
class _Now:
    """The update in hand."""

    offer: _Offer
    state: str
    error: str
    tries: int


class Updating:
    """The firmware of one device."""

    def __init__(  # noqa: PLR0913 - keyword-only parts of one device
        self,
        device: str,
        *,
        product: str,
        memory: Memory,
        history: History,
        key: Ed25519PublicKey | None,
        at_s: Callable[[], int],
        rng: Random,
    ) -> None:
        self.wants_restart = False
        self._device = device
        self._product = product
        self._memory = memory
        self._history = history
        self._key = key
        self._at_s = at_s
        self._rng = rng
        self._wanted: set[int] = set()
        """Pieces that were asked for and have not come."""
        self._ask_s = float("inf")
        self._asked = 0
        self._install_s = float("inf")

    @property
    def version(self) -> str:
        return self._memory.firmware(self._device)

    def connected(self, *, now_s: float) -> None:
        """Go on with a download soon, if the offer is not repeated."""
        self._wanted.clear()
        now = self._now()
        if now is not None and now.state == "downloading":
            self._ask_s = now_s + full_jitter_s(self._rng, attempt=2)

    def started(self) -> None:
        """The device has started: an installation in its hands is off, and the offer stays."""
        self.wants_restart = False
        self._install_s = float("inf")
        now = self._now()
        if now is not None and now.state == "installing":
            self._keep(replace(now, state="downloading"))

    def hear_offer(self, payload: bytes, *, now_s: float) -> list[Said]:
        try:
            offer = _decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            log.warning("device.offer_unreadable", device=self._device)
            return []
        now = self._now()
        if offer.cancelled:
            if now is not None and now.offer.campaign == offer.campaign:
                self._withdraw(now)
            return []
        if offer.version == self.version:
            return [_progress(offer, "installed")]
        if now is None or now.offer.what != offer.what or now.offer.campaign != offer.campaign:
            return self._begin(offer, now_s=now_s)
        if now.state == "failed":
            return [_progress(offer, "failed", error=now.error)]
        if now.state == "installing":
            return [_progress(offer, "installing")]
        self._keep(replace(now, offer=offer))
        return self._go_on(now_s=now_s)

    def hear_piece(self, payload: bytes, *, now_s: float) -> list[Said]:
        now = self._now()
        campaign = int.from_bytes(payload[:4], "big")
        number = int.from_bytes(payload[4:_HEAD_BYTES], "big")
        body = payload[_HEAD_BYTES:]
        if now is None or now.state != "downloading" or campaign != now.offer.campaign:
            return []
        if number >= now.offer.pieces or len(body) != now.offer.piece_bytes(number):
            log.warning("device.piece_unfit", device=self._device, number=number)
            return []
        self._memory.keep_piece(self._device, number, body)
        self._wanted.discard(number)
        self._asked = 0
        if self._wanted:
            return []
        done = self._memory.pieces(self._device)
        if self._is_cut_off(now, done):
            return []
        told = []
        step = max(1, now.offer.pieces // _REPORTS)
        if done // step > (done - WINDOW_PIECES) // step:
            told = [_progress(now.offer, "downloading", chunk=done)]
        return [*told, *self._go_on(now_s=now_s)]

    def tick(self, now_s: float) -> list[Said]:
        if now_s >= self._install_s:
            self._install_s = float("inf")
            return self._install()
        if now_s >= self._ask_s:
            return self._go_on(now_s=now_s)
        return []

    def _begin(self, offer: _Offer, *, now_s: float) -> list[Said]:
        self._memory.forget_offer(self._device)
        begun = _Now(offer=offer, state="downloading", error="", tries=0)
        if self._key is None:
            return self._fail(begun, "there is no key to check signatures with")
        self._keep(begun)
        log.info("device.update_begun", device=self._device, version=offer.version)
        return [_progress(offer, "downloading", chunk=0), *self._go_on(now_s=now_s)]

    def _go_on(self, *, now_s: float) -> list[Said]:
        """Ask for the next pieces, or check the image when all are there."""
        self._ask_s = float("inf")
        now = self._now()
        if now is None or now.state != "downloading":
            return []
        first, pieces = self._memory.pieces(self._device), now.offer.pieces
        if first >= pieces:
            return self._check(now, now_s=now_s)
        self._wanted = set(range(first, min(first + WINDOW_PIECES, pieces)))
        self._ask_s = now_s + ANSWER_WITHIN_S + full_jitter_s(self._rng, attempt=self._asked)
        self._asked += 1
        message = {"campaign": now.offer.campaign, "chunk": first, "count": len(self._wanted)}
        return [say("fetch", message)]

    def _check(self, now: _Now, *, now_s: float) -> list[Said]:
        offer = now.offer
        told = [_progress(offer, "downloaded", chunk=offer.pieces)]
        digest = hashlib.sha256(self._memory.image(self._device)).digest()
        if digest.hex() != offer.sha256.lower():
            self._memory.forget_pieces(self._device)
            again = replace(now, tries=now.tries + 1)
            if again.tries >= _TRIES_MAX:
                return [*told, *self._fail(again, f"the checksum did not fit, {again.tries} times")]
            self._keep(again)
            return self._go_on(now_s=now_s)
        if not self._is_genuine(offer, digest):
            return [*told, *self._fail(now, "the signature does not fit")]
        self._keep(replace(now, state="installing"))
        self._install_s = now_s + self._rng.uniform(*INSTALL_S)
        return [*told, _progress(offer, "verified"), _progress(offer, "installing")]

    def _is_genuine(self, offer: _Offer, digest: bytes) -> bool:
        assert self._key is not None
        signed = (
            b"forecare-firmware\0"
            + self._product.encode()
            + b"\0"
            + offer.version.encode()
            + b"\0"
            + digest
        )
        try:
            self._key.verify(base64.b64decode(offer.signature, validate=True), signed)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True

    def _install(self) -> list[Said]:
        now = self._now()
        if now is None or now.state != "installing":
            return []
        behaviour = read_behaviour(self._memory.image(self._device))
        if self._is_drawn(behaviour.fails, now, "fails"):
            return self._fail(now, "the flash memory did not take it")
        self.wants_restart = True
        if self._is_drawn(behaviour.rolls_back, now, f"rolls back {now.tries}"):
            self._keep(replace(now, state="downloading", tries=now.tries + 1))
            log.info("device.rolled_back", device=self._device, version=now.offer.version)
            return []
        self._run(now, behaviour)
        return []

    def _run(self, now: _Now, behaviour: Behaviour) -> None:
        has_fault = self._is_drawn(behaviour.share, now, "fault")
        entry = FirmwareFrom(
            at_s=self._at_s(),
            version=now.offer.version,
            fault=behaviour.fault if has_fault else None,
        )
        self._memory.apply_firmware(self._device, entry)
        self._history.firmware.append(entry)
        log.info("device.updated", device=self._device, version=entry.version)

    def _is_cut_off(self, now: _Now, done: int) -> bool:
        """Whether the power fails now, in the middle of the download and once."""
        if now.tries or not now.offer.pieces // 2 <= done < now.offer.pieces:
            return False
        behaviour = read_behaviour(self._memory.image(self._device))
        if not self._is_drawn(behaviour.reboots_midway, now, "reboots"):
            return False
        self._keep(replace(now, tries=1))
        self.wants_restart = True
        return True

    def _is_drawn(self, share: float, now: _Now, what: str) -> bool:
        """The same for the same device, image and question, whenever it is asked."""
        return key_of(self._device, now.offer.sha256, what) % 10_000 < share * 10_000

    def _fail(self, now: _Now, error: str) -> list[Said]:
        self._memory.forget_pieces(self._device)
        self._keep(replace(now, state="failed", error=error))
        log.warning("device.update_failed", device=self._device, reason=error)
        return [_progress(now.offer, "failed", error=error)]

    def _withdraw(self, now: _Now) -> None:
        if now.state != "installing":
            self._memory.forget_offer(self._device)
            self._wanted.clear()
            self._ask_s = float("inf")

    def _now(self) -> _Now | None:
        kept = self._memory.offer(self._device)
        if kept is None:
            return None
        offer = msgspec.convert(kept.body, _Offer)
        return _Now(offer=offer, state=kept.state, error=kept.error, tries=kept.tries)

    def _keep(self, now: _Now) -> None:
        body = msgspec.to_builtins(now.offer)
        kept = KeptOffer(body=body, state=now.state, error=now.error, tries=now.tries)
        self._memory.keep_offer(self._device, kept)


def _progress(offer: _Offer, state: str, *, chunk: int | None = None, error: str = "") -> Said:
    message: dict[str, object] = {"campaign": offer.campaign, "state": state}
    if chunk is not None:
        message["chunk"] = chunk
    if error:
        message["error"] = error
    return say("progress", message)
