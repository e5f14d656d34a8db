"""What the fault suite's record of settlements notices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from eventing_amqp._codec import compound_list
from eventing_core.provider import Message
from eventing_stomp._frames import frame
from eventing_stomp._message import encode as encode_message
from eventing_stomp._message import encode_alone
from tests.faults.wire import Record, point_of
from tests.support.processes import Numbers

NULL, FALSE, TRUE = b"\x40", b"\x42", b"\x41"
ACCEPTED = b"\x00\x53\x24\x45"
RELEASED = b"\x00\x53\x26\x45"


def amqp(code: int, *fields: bytes, payload: bytes = b"") -> bytes:
    body = bytes((0x00, 0x53, code)) + compound_list(b"".join(fields), len(fields)) + payload
    return (len(body) + 8).to_bytes(4) + bytes((2, 0, 0, 0)) + body


def uint(number: int) -> bytes:
    return b"\x52" + bytes((number,))


def delivered(delivery: int, event: int, over: str) -> bytes:
    body = b'{"number":%d}' % event
    if over == "stomp":
        return frame("MESSAGE", {"subscription": "1", "ack": f"a{delivery}"}, body)
    return amqp(0x14, uint(0), uint(delivery), payload=body)


def accepted(delivery: int, over: str) -> bytes:
    if over == "stomp":
        return frame("ACK", {"id": f"a{delivery}"})
    return amqp(0x15, TRUE, uint(delivery), NULL, TRUE, ACCEPTED)


@pytest.fixture
def handled(tmp_path: Path) -> Path:
    return tmp_path / "handled"


@pytest.fixture
def record(handled: Path) -> Record:
    return Record(Numbers(handled))


def see_sent(record: Record, event: int, encode: Callable[..., bytes]) -> None:
    """As the product sends it, with the receipt 3."""
    sent = encode(Message(body=b'{"number":%d}' % event), b"destination:Event\\c\\cListener\n", 3)
    for each in sent.split(b"\0")[:-1]:
        record.see(1, "to_server", each + b"\0")


@pytest.mark.parametrize(
    ("encode", "receipt", "flaws"),
    [(encode_alone, "3", 0), (encode_alone, "in-3", 1), (encode_alone, "", 1), (encode_message, "3", 1)],
)
def test_a_confirmed_copy_stands_in_for_on(record: Record, encode: Callable[..., bytes], receipt: str, flaws: int):
    record.see(1, "to_client", delivered(5, 7, "stomp"))
    see_sent(record, 7, encode)
    if receipt:
        record.see(1, "to_client", frame("RECEIPT", {"receipt-id": receipt}))
    record.see(1, "to_server", accepted(5, "stomp"))
    assert len(record.early) == flaws
    # It stands in for one.
    record.see(1, "to_client", delivered(6, 7, "stomp"))
    record.see(1, "to_server", accepted(6, "stomp"))
    assert len(record.early) == flaws + 1


def add(handled: Path, number: int) -> None:
    with handled.open("a") as file:
        file.write(f"{number}\n")


@pytest.mark.parametrize("over", ["amqp", "stomp"])
def test_an_acceptance_after_on_is_right(record: Record, handled: Path, over: str):
    for connection in (1, 2):
        record.see(connection, "to_client", delivered(5, 7, over))
        add(handled, 7)
        record.see(connection, "to_server", accepted(5, over))
    assert (record.flaws, record.settlements, record.accepted) == ([], 2, 2)


@pytest.mark.parametrize("over", ["amqp", "stomp"])
def test_a_settlement_of_another_connection_is_noticed(record: Record, handled: Path, over: str):
    record.see(1, "to_client", delivered(5, 7, over))
    add(handled, 7)
    record.see(2, "to_server", accepted(5, over))
    assert "never given" in record.flaws[0]


@pytest.mark.parametrize("over", ["amqp", "stomp"])
def test_an_old_acceptance_is_noticed_where_its_id_was_given_again(record: Record, handled: Path, over: str):
    record.see(1, "to_client", delivered(5, 7, over))
    add(handled, 7)
    record.see(2, "to_client", delivered(5, 7, over))
    record.see(2, "to_server", accepted(5, over))
    assert "before `on` had returned" in record.early[0]


@pytest.mark.parametrize("over", ["amqp", "stomp"])
def test_a_second_settlement_is_noticed(record: Record, handled: Path, over: str):
    record.see(1, "to_client", delivered(5, 7, over))
    add(handled, 7)
    record.see(1, "to_server", accepted(5, over))
    record.see(1, "to_server", accepted(5, over))
    assert "again" in record.flaws[0]


def test_what_is_given_back_needs_no_on(record: Record):
    for delivery in (5, 6):
        record.see(1, "to_client", delivered(delivery, 7, "amqp"))
    record.see(1, "to_server", amqp(0x15, TRUE, uint(5), uint(6), TRUE, RELEASED))
    assert (record.flaws, record.settlements, record.accepted) == ([], 2, 0)


def test_confirmations_of_sends_are_no_settlements(record: Record):
    record.see(1, "to_client", amqp(0x15, TRUE, uint(5), NULL, TRUE, ACCEPTED))
    record.see(1, "to_server", amqp(0x15, FALSE, uint(5), NULL, TRUE))
    assert record.settlements == 0


@pytest.mark.parametrize(
    ("to_server", "data", "point"),
    [
        (True, b"AMQP\x00\x01\x00\x00", "connect"),
        (True, amqp(0x12), "connect"),
        (True, amqp(0x14), "send"),
        (False, amqp(0x14), "settle"),
        (True, amqp(0x15), "settle"),
        (False, amqp(0x15), "send"),
        (True, amqp(0x13), None),
        (False, amqp(0x18), "close"),
        (True, (8).to_bytes(4) + bytes((2, 0, 0, 0)), None),
        (True, frame("CONNECT", {}), "connect"),
        (True, frame("SEND", {}), "send"),
        (True, frame("ACK", {}), "settle"),
        (True, frame("DISCONNECT", {}), "close"),
        (True, b"\n", None),
    ],
)
def test_frames_belong_to_moments(to_server: bool, data: bytes, point: str | None):
    assert point_of("to_server" if to_server else "to_client", data) == point
