"""One device with its spool, its memory and its controller, as `forecare simulate` puts them together."""

import time
from random import Random

from firmware_sim.clock import wall_s
from firmware_sim.connection import Address, Identity
from firmware_sim.controller import Controller
from firmware_sim.courier import Courier
from firmware_sim.heat_pump import HEAT_PUMP
from firmware_sim.memory import Memory
from firmware_sim.spool import Spool

HP_1 = Identity(name="hp-1", shard="a3", password="p", product="heat_pump", firmware="4.2.1")


class Rig:
    """One device with its spool and its memory; `again` is the same device after a crash."""

    def __init__(self, folder, port, *, made, key=None, identity=HP_1, tls=None):
        self.made, self.is_over = made, False
        made.append(self)
        self.folder, self.port, self.key, self.identity = folder, port, key, identity
        self.tls = tls
        self.at_s = 1_790_000_000
        self.spool = Spool(folder / "spool.db")
        self.memory = Memory(folder / "memory.db")
        self.memory.add(identity.name, firmware=identity.firmware)
        self.history = self.memory.history(identity.name)
        self.courier = Courier(
            address=Address(host="127.0.0.1", port=port, is_tls=tls is not None),
            spool=self.spool,
            monotonic_s=time.monotonic,
            tls=tls,
        )
        controller = Controller(
            identity.name,
            model=HEAT_PUMP,
            memory=self.memory,
            history=self.history,
            key=key.public_key() if key else None,
            at_s=lambda: self.at_s,
            wall_s=wall_s,
            self_test=lambda: {"passed": True},
            rng=Random(1),
        )
        boot = self.spool.start(identity.name, mark=0)
        self.courier.add(identity, boot=boot, rng=Random(boot), controller=controller)

    def until(self, condition, *, seconds=60):
        self.courier.run(seconds, until=condition)
        client = self.courier.clients[self.identity.name]
        assert condition(), f"connected {client.is_connected}, boot {client.boot}: {client.problem}"

    def crash(self):
        """End without a goodbye, as a power cut does."""
        self.is_over = True
        for client in self.courier.clients.values():
            client.is_held = True
            client.tick(time.monotonic())
        self.spool.close()
        self.memory.close()

    def again(self):
        self.crash()
        return Rig(
            self.folder,
            self.port,
            made=self.made,
            key=self.key,
            identity=self.identity,
            tls=self.tls,
        )
