"""Commands and their answers on the wire. Pure."""

from typing import Annotated, Any

import msgspec

from core.errors import InvalidError
from core.units import to_epoch_ms
from gateway.desk import Incoming, Outgoing
from gateway.device_commands.life_cycle import Said
from gateway.device_commands.records import DueCommand
from gateway.documents import check_document

ANSWER_BYTES_MAX = 16_384


class Answer(msgspec.Struct, frozen=True):
    id: Annotated[str, msgspec.Meta(max_length=64)]
    state: Said
    result: Any = None


_decoder = msgspec.json.Decoder(Answer)


def read_answer(message: Incoming) -> Answer | None:
    """Read an `answer`; None when it is none, or its result is more than may be stored."""
    if len(message.payload) > ANSWER_BYTES_MAX:
        return None
    try:
        answer = _decoder.decode(message.payload)
        check_document({"result": answer.result}, what="result", bytes_max=ANSWER_BYTES_MAX)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidError):
        return None
    return answer


def command_message(command: DueCommand) -> Outgoing:
    payload = {
        "id": command.id,
        "name": command.name,
        "args": command.args,
        "deadline": to_epoch_ms(command.deadline_at),
    }
    return Outgoing(
        device=command.device,
        shard=command.shard,
        kind="command",
        payload=msgspec.json.encode(payload),
    )
