"""What reads bytes and names from outside, fuzzed alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import seed as with_seed
from hypothesis import strategies as st

from eventing_amqp import _message as amqp_message
from eventing_core import event
from eventing_core.codec._codec import Codec
from eventing_core.declare._event import describe_event
from eventing_core.declare._names import flaw_in_name
from eventing_core.errors import DecodeError, SerializationError
from eventing_core.provider import Destination, Message, Subscription
from eventing_core.provider.artemis import Artemis
from eventing_stomp import _message as stomp_message
from eventing_stomp._frames import BrokenFrameError, Splitter
from tests.faults.terms import Figures, Terms

TITLE = "Codec and addresses alone"

EXAMPLES = 100_000


@event("Fuzzed")
@dataclass
class Fuzzed:
    number: int
    share: float
    text: str = ""
    when: datetime | None = None
    price: Decimal = Decimal(0)
    tags: list[str] = field(default_factory=list)
    nested: dict[str, list[int | None]] = field(default_factory=dict)


CODEC = Codec(describe_event(Fuzzed))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
TEXT = st.text(max_size=60)
MESSAGES = st.builds(
    Message,
    body=st.binary(max_size=200),
    headers=st.dictionaries(TEXT, TEXT, max_size=4),
    message_id=TEXT,
    dedup_id=TEXT,
    content_type=st.sampled_from(["", "application/json", "text/plain"]),
    durable=st.booleans(),
)
NAMES = st.lists(
    st.sampled_from(["::", "?", "#", "*", ",", "topic://", "queue://", ".", "-", "/", "{event}", " "]) | TEXT,
    max_size=4,
).map("".join)


@st.composite
def damaged(draw: Callable[[Any], Any], whole: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of which a piece was replaced."""
    raw: bytes = draw(whole)
    begin: int = draw(st.integers(0, len(raw)))
    end: int = draw(st.integers(begin, min(len(raw), begin + 8)))
    instead: bytes = draw(st.binary(max_size=8))
    return raw[:begin] + instead + raw[end:]


WHEN = st.none() | st.datetimes().map(lambda when: when.replace(fold=0))  # which JSON lacks
BODIES = st.builds(Fuzzed, share=st.floats(-1, 1), price=st.just(Decimal("1.5")), when=WHEN).map(CODEC.encode)


@given(st.builds(Fuzzed))
def an_event_comes_back_or_is_refused(event: Fuzzed) -> None:
    try:
        body = CODEC.encode(event)
    except SerializationError:
        return
    assert asdict(CODEC.decode(body)) == asdict(event)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()) | damaged(BODIES))
def a_body_is_an_event_or_a_decode_error(body: bytes) -> None:
    with suppress(DecodeError):
        assert isinstance(CODEC.decode(body), Fuzzed)


@given(st.binary(max_size=200) | damaged(MESSAGES.map(lambda message: amqp_message.encode(message, 1.0))))
def any_bytes_are_a_message_over_amqp(raw: bytes) -> None:
    message = amqp_message.decode(raw)
    assert isinstance(message.body, bytes)
    assert all(isinstance(text, str) for item in message.headers.items() for text in item)
    assert amqp_message.delivery_count(raw) >= 0


@given(
    st.binary(max_size=200)
    | damaged(MESSAGES.map(lambda message: stomp_message.encode(message, b"destination:E\n", 1)))
)
def any_bytes_are_frames_or_broken_over_stomp(raw: bytes) -> None:
    try:
        frames = Splitter().feed(raw)
    except BrokenFrameError:
        return
    for each in frames:
        message = stomp_message.decode(each)
        assert isinstance(message.body, bytes)
        assert all(isinstance(text, str) for item in message.headers.items() for text in item)


@given(NAMES, NAMES, NAMES, st.sampled_from(["{listener}", "{event}.{listener}"]))
def what_may_be_a_name_is_one_address(event_name: str, listener: str, server: str, template: str) -> None:
    if any(map(flaw_in_name, (event_name, listener, server))):
        return
    artemis = Artemis(template)
    assert artemis.node(Destination(event_name)).address == event_name
    for member in ("", server):
        queue = Destination(event_name, listener, member, kind="queue")
        node = artemis.source(Subscription(destination=queue))
        # As the broker splits it: at the first "::".
        assert node.queue
        assert node.address.split("::", 1) == [event_name, node.queue.name]
        assert node.queue.name.count(listener)
        assert not any(part in node.address for part in "?#*, ")
        assert not node.address.startswith(("topic://", "queue://"))
        assert not node.queue.name.startswith(("topic://", "queue://"))
        dead = artemis.node(Destination(event_name, listener, member, kind="dead"))
        assert dead.address == f"{node.queue.name}.dead"


PROPERTIES = (
    an_event_comes_back_or_is_refused,
    a_body_is_an_event_or_a_decode_error,
    any_bytes_are_a_message_over_amqp,
    any_bytes_are_frames_or_broken_over_stomp,
    what_may_be_a_name_is_one_address,
)


def run(terms: Terms) -> Figures:
    """Try each property on many examples."""
    examples = terms.count(EXAMPLES)
    for each in PROPERTIES:
        limits = settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        with_seed(terms.seed)(limits(each))()
    return {each.__name__.replace("_", " "): examples for each in PROPERTIES}
