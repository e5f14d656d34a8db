"""What is known of messages that end a STOMP connection."""

from __future__ import annotations

import pytest

from eventing_core.provider.artemis import Queue
from eventing_stomp import _errors
from eventing_stomp._frames import BrokenFrameError, Incoming, LargeFrameError, Splitter
from eventing_stomp._isolation import Isolation, consumer_of, number_of

QUEUE = Queue(name="Mail", address="Order", durable=True)

ENDED = (
    "consumer with ID ServerConsumerImpl [id=37, filter=null, binding=LocalQueueBinding [address=Order, "
    "queue=QueueImpl[name=Mail, postOffice=PostOfficeImpl [server=ActiveMQServerImpl::name=127.0.0.1], temp=false]"
    "@3cb20069, filter=null, name=Mail, clusterName=Mail1bde57d6], closed=true] disconnected by server"
)


def incoming(number: int, native: str = "") -> Incoming:
    head = b"MESSAGE\nsubscription:1\ncontent-length:2\nmessage-id:7,%d\n" % number
    return Incoming(b"MESSAGE", head + (b"NATIVE_MESSAGE_ID:%b\n" % native.encode() if native else b""), b"{}")


def test_the_queue_of_a_consumer_that_the_broker_ends() -> None:
    assert _errors.consumer_of(ENDED) == "Mail"
    for text in ("AMQ339010 Connection is not valid", "Error creating subscription 5", "", "disconnected by server"):
        assert not _errors.consumer_of(text)


def test_the_loss_says_which_queue_it_was() -> None:
    text = str(_errors.of_loss("host:1", ENDED))
    assert "a message of the queue 'Mail'" in text
    assert "ServerConsumerImpl" not in text


def test_the_consumer_of_what_could_not_be_acknowledged() -> None:
    assert _errors.acknowledging_of("AMQ339018 Error acknowledging message 179,216") == "179"
    assert not _errors.acknowledging_of("AMQ339011 Error sending message")


def test_numbers_and_consumers_of_messages() -> None:
    assert number_of(b"7,42") == 42
    assert number_of(b"whatever") == -1
    assert consumer_of(incoming(42)) == "7"


def blamed(*came: Incoming, managed: bool) -> Isolation:
    isolation = Isolation("Order::Mail")
    for _ in range(2):
        isolation.blamed(QUEUE, came, None, managed=managed)
    return isolation


def test_health_says_what_to_do_where_management_is_closed() -> None:
    assert "'manage' and 'send' on activemq.management" in blamed(managed=False).flaw
    assert "'Mail'" in blamed(managed=False).flaw
    assert "can't be done" not in blamed(managed=True).flaw
    assert not Isolation("Order::Mail").flaw


def test_known_good_messages_are_selected_where_the_other_one_can_not_be_set_aside() -> None:
    came = incoming(1, "ID\\cAMQP_NO_PREFIX\\cit's"), incoming(2, "abc"), incoming(3)
    assert not blamed(*came, managed=True).selector()
    isolation = blamed(*came, managed=False)
    by_id, _, by_native = isolation.selector().partition(" OR ")
    for name in ("'ID:it''s'", "'ID:abc'"):
        assert name in by_id
    for name in ("'ID:AMQP_NO_PREFIX:it''s'", "'abc'"):
        assert name in by_native
    isolation.acknowledged(came)
    assert not isolation.selector()


def test_a_frame_that_is_too_large_is_named() -> None:
    begin = b"MESSAGE\nsubscription:12\nmessage-id:7,42\nheader:"
    with pytest.raises(LargeFrameError) as caught:
        Splitter().feed(begin + b"x" * (1 << 20))
    assert (caught.value.subscription, caught.value.message_id) == ("12", "7,42")
    body = b"MESSAGE\nsubscription:12\ncontent-length:1000\nmessage-id:7,42\n\n"
    with pytest.raises(LargeFrameError) as caught:
        Splitter(500).feed(body)
    assert (caught.value.subscription, caught.value.message_id) == ("12", "7,42")
    splitter = Splitter(100)
    splitter.feed(begin + b"x" * 200)
    with pytest.raises(LargeFrameError) as caught:
        splitter.feed(b"x")
    assert caught.value.message_id == "7,42"


def test_what_is_too_large_and_no_message_is_no_stomp() -> None:
    with pytest.raises(BrokenFrameError):
        Splitter().feed(b"HTTP/1.1 200 OK\nheader:" + b"x" * (1 << 20))
