"""What an edge node says: its births, its data by alias, its death, and the numbers that tie them. Pure.

A session begins with a connection and has its own `bdSeq`; every message but the death carries the
next `seq`, 0 to 255 and round again, and each birth of the node begins at 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from firmware_sim.machine import FAULT_METRIC
from firmware_sim.model import Model
from firmware_sim.sparkplug.payload import DataType, Metric, write_payload

SEQ_COUNT = 256
REBIRTH = "Node Control/Rebirth"
_BD_SEQ = "bdSeq"
_FOLDER = "Inputs/"

Row = Sequence[Any]
"""`[ms, {metric: value}]`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A message of a node."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A metric as a birth declares it."""

    metric: str
    datatype: DataType


def declared_by(model: Model) -> tuple[Declared, ...]:
    """Return what devices of a product measure, and of which types it is."""
    return (
        *(
            Declared(
                metric=meter.name,
                datatype=DataType.INT64 if meter.decimals == 0 else DataType.DOUBLE,
            )
            for meter in model.meters
        ),
        Declared(metric=FAULT_METRIC, datatype=DataType.INT32),
    )


class Session:
    """The words of one edge node. Not told when to speak: that is the node's business.

    Parameters
    ----------
    group, node : str
        Where it stands in the name space.
    declares : mapping
        Per device what it measures: the node itself under its own name, and the devices behind it.
    """

    def __init__(
        self, *, group: str, node: str, declares: Mapping[str, Sequence[Declared]]
    ) -> None:
        self.bd_seq = 0
        self._group = group
        self._node = node
        self._declares = declares
        self._next_seq = 0
        places = [(device, d) for device, all_ in declares.items() for d in all_]
        self._aliases = {
            (device, declared.metric): (alias, declared.datatype)
            for alias, (device, declared) in enumerate(places, start=1)
        }

    @property
    def command_topic(self) -> str:
        return f"spBv1.0/{self._group}/NCMD/{self._node}"

    def begin(self, number: int) -> None:
        """Begin the session of the connection of this number, counted over all connections."""
        self.bd_seq = number % SEQ_COUNT

    def death(self, *, at_ms: int) -> Said:
        """Return the will of the session that has begun."""
        payload = write_payload([self._bd_seq_metric()], at_ms=at_ms, seq=None)
        return Said(topic=self._topic("NDEATH", self._node), payload=payload)

    def births(self, newest: Mapping[str, Row], *, at_ms: int) -> list[Said]:
        """Return the births of the node and of all behind it, with the newest value of every metric.

        Parameters
        ----------
        newest : mapping
            Per device its newest sample; a device that has none tells null.
        at_ms : int
            Now by the node's clock.
        """
        self._next_seq = 0
        own = [
            self._bd_seq_metric(),
            Metric(
                name=REBIRTH,
                datatype=DataType.BOOLEAN,
                value=False,
                at_ms=at_ms,
                tells_type=True,
            ),
        ]
        said = []
        for device in self._declares:
            metrics = self._born(device, newest.get(device), at_ms=at_ms)
            is_node = device == self._node
            kind = "NBIRTH" if is_node else "DBIRTH"
            payload = self._write([*own, *metrics] if is_node else metrics, at_ms=at_ms)
            said.append(Said(topic=self._topic(kind, device), payload=payload))
        return said

    def data(self, device: str, rows: Sequence[Row], *, at_ms: int, is_historical: bool) -> Said:
        """Return samples by alias alone; `is_historical` says that they were kept back."""
        metrics = []
        for ms, values in rows:
            for name, value in values.items():
                alias, datatype = self._aliases[device, name]
                metrics.append(
                    Metric(
                        alias=alias,
                        at_ms=ms,
                        datatype=datatype,
                        value=value,
                        is_historical=is_historical,
                    )
                )
        kind = "NDATA" if device == self._node else "DDATA"
        return Said(topic=self._topic(kind, device), payload=self._write(metrics, at_ms=at_ms))

    def _born(self, device: str, newest: Row | None, *, at_ms: int) -> list[Metric]:
        measured_ms, values = newest or (at_ms, {})
        return [
            Metric(
                name=_FOLDER + declared.metric,
                alias=self._aliases[device, declared.metric][0],
                at_ms=measured_ms,
                datatype=declared.datatype,
                value=values.get(declared.metric),
                tells_type=True,
            )
            for declared in self._declares[device]
        ]

    def _bd_seq_metric(self) -> Metric:
        return Metric(name=_BD_SEQ, datatype=DataType.INT64, value=self.bd_seq, tells_type=True)

    def _write(self, metrics: Sequence[Metric], *, at_ms: int) -> bytes:
        seq, self._next_seq = self._next_seq, (self._next_seq + 1) % SEQ_COUNT
        return write_payload(metrics, at_ms=at_ms, seq=seq)

    def _topic(self, kind: str, device: str) -> str:
        topic = f"spBv1.0/{self._group}/{kind}/{self._node}"
        return topic if device == self._node else f"{topic}/{device}"
