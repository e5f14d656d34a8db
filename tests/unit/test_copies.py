"""Copies: what a dead letter leaves out, under which ids they are sent, and what an exception can do to them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing_core import EventListener, HeaderError, Retry, event_listener
from eventing_core.declare._envelope import check_header
from eventing_core.errors import MessageTooLargeError, SendEventsError, SendRejectedError, SendTimeoutError
from eventing_core.provider import Done, Message, SubscriptionState
from eventing_core.receive._truncation import TRUNCATED, Refused, is_permanent, truncate
from eventing_core.receive.machine import _failing, _outlet
from eventing_core.runtime._log_words import describe_error
from tests.support.dispatching import Bench, Plain, Tick, benches, fail
from tests.support.waiting import until

KEEP = frozenset({"eventing-reason", "eventing-attempts"})
SHORTEN = frozenset({"eventing-error-message"})

TOO_LARGE = SendRejectedError("too large", permanent=True)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bench]]:
    monkeypatch.setattr(_outlet, "_BACKOFF", (0.01, 0.01))
    with benches() as make:
        yield make


def sent(it: Bench) -> list[Message]:
    return [message for _, message, _ in it.broker.sent]


# -- what is left out -------------------------------------------------------------------------------------------------


def steps(headers: Mapping[str, str]) -> list[dict[str, str]]:
    """What is left after each refusal, until there is no more to leave out."""
    left: list[dict[str, str]] = []
    while (smaller := truncate(headers, len(left) + 1, keep=KEEP, shorten=SHORTEN)) is not None:
        left.append(smaller)
        assert len(left) < 40
    return left


def test_own_values_are_shortened_before_a_header_is_dropped():
    first, second, *_ = steps({"eventing-error-message": "e" * 1000, "a": "b" * 2000, "c": "d"})
    assert first == {"eventing-error-message": "e" * 100, "a": "b" * 2000, "c": "d"}
    assert second == {"eventing-error-message": "e" * 100, "c": "d", TRUNCATED: "a"}


def test_whole_headers_go_the_largest_first_and_ever_more_at_once():
    headers = {f"k{number}": "x" * number for number in range(20)} | {"eventing-reason": "failed" * 100}
    names = [each.get(TRUNCATED, "").split(", ") for each in steps(headers)]
    assert names[0] == [""]
    assert names[1] == ["k19"]
    assert names[2] == ["k19", "k18", "k17"]
    assert len(names[3]) == 7
    assert sorted(names[-1]) == sorted(key for key in headers if key.startswith("k"))
    assert steps(headers)[-1].keys() == {"eventing-reason", TRUNCATED}


@given(st.dictionaries(st.text(max_size=100), st.text(max_size=50), max_size=40))
def test_every_step_is_smaller_and_can_be_carried(headers: dict[str, str]):
    headers |= {"eventing-reason": "failed"}
    before = len(headers) + 1
    for each in steps(headers):
        assert each["eventing-reason"] == "failed"
        left = {key: value for key, value in each.items() if key != TRUNCATED}
        assert left.items() <= headers.items()
        assert len(left) < before or before == len(headers) + 1
        before = len(left)
        for text in (*each, *each.values()):
            assert "\0" not in text
            text.encode()
        assert len(each.get(TRUNCATED, "")) < 1_100


def test_what_can_not_be_encoded_goes_at_once_and_nothing_else():
    headers = {"bad": "x\ud800", "\udfff": "y", "nul": "a\0", "nul\0": "a", "good": "z"}
    (first, *_) = steps(headers)
    assert first == {"good": "z", TRUNCATED: "bad, ?, nul, nul\N{REPLACEMENT CHARACTER}"}


def test_the_list_of_names_is_bounded_and_its_commas_are_its_own():
    headers = {"a,b": "x" * 9000, **{f"{number}-{'k' * 5000}": "v" for number in range(100)}}
    names = steps(headers)[-1][TRUNCATED]
    assert "a%2Cb" in names
    assert len(names) < 1_100
    assert names.endswith(" more")


def test_what_an_earlier_copy_left_out_stays_known():
    (_, second, *_) = steps({TRUNCATED: "before", "a": "b"})
    assert second == {TRUNCATED: "before, a"}
    (first, *_) = steps({TRUNCATED: "x" * 500_000})
    assert len(first[TRUNCATED]) <= 1_000


def test_what_is_permanent():
    assert is_permanent(TOO_LARGE)
    assert is_permanent(MessageTooLargeError("large"))
    assert is_permanent(HeaderError("odd"))
    assert not is_permanent(SendRejectedError("full"))
    assert not is_permanent(SendTimeoutError("late", in_doubt=True))
    assert not is_permanent(RuntimeError("AMQ149005"))


def test_refusals_are_remembered_within_bounds():
    refused = Refused()
    refused.note("", 3)
    for number in range(3_000):
        refused.note(f"{number}", 1)
    refused.note("2999", 4)
    refused.note("2999", 2)
    assert (refused.step(""), refused.step("0"), refused.step("2999")) == (0, 0, 4)
    assert len(refused._steps) == 1_000


# -- ids --------------------------------------------------------------------------------------------------------------


def test_a_rejected_copy_has_a_fresh_id_in_its_next_try(bench: Callable[..., Bench]):
    it = bench(fail, retry=Retry(max_attempts=1))
    it.broker.refusals = [SendRejectedError("full"), SendRejectedError("full")]
    it.deliver(Plain(1))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert [copy.dedup_id for copy in sent(it)] == [
        "id1/Listener/dead1",
        "id1/Listener/dead1/try1",
        "id1/Listener/dead1/try2",
    ]
    assert {copy.message_id for copy in sent(it)} == {"id1"}


def test_only_a_copy_in_doubt_keeps_its_id(bench: Callable[..., Bench]):
    it = bench(fail, retry=Retry(max_attempts=1))
    doubt = SendTimeoutError("late", in_doubt=True)
    it.broker.refusals = [doubt, SendRejectedError("full"), doubt, SendTimeoutError("not written")]
    it.deliver(Plain(1))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    ids = [copy.dedup_id.removeprefix("id1/Listener/dead1") for copy in sent(it)]
    assert ids == ["", "", "/try1", "/try1", "/try2"]


def test_an_id_that_was_refused_is_not_used_in_the_next_connection_either(bench: Callable[..., Bench]):
    it = bench(fail, retry=Retry(max_attempts=1))
    it.broker.refusals = [SendRejectedError("full")]
    it.deliver(Plain(1))
    it.broker.wait_for(lambda: len(it.broker.sent) == 1)
    it.dispatcher.state(SubscriptionState.INACTIVE, 1, ConnectionError("gone"))
    it.dispatcher.state(SubscriptionState.ACTIVE, 2, None)
    it.deliver(Plain(1, generation=2))
    it.broker.wait_for(lambda: it.broker.accepted() != [])
    ids = [copy.dedup_id for copy in sent(it)]
    assert len(set(ids)) == len(ids)


def test_the_copy_of_a_copy_of_a_later_try_derives_from_the_original(bench: Callable[..., Bench]):
    it = bench(fail, retry=Retry(max_attempts=9, initial=30, jitter=0))
    delivery = Plain(1, headers={"eventing-attempts": "1"})
    delivery.message().dedup_id = "id1/Listener/retry1/try3"
    it.deliver(delivery)
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert sent(it)[0].dedup_id == "id1/Listener/retry2"


# -- copies that can't be stored as they are --------------------------------------------------------------------------


def test_a_dead_letter_is_sent_with_less_until_it_is_stored(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
):
    it = bench(fail, retry=Retry(max_attempts=1))
    it.broker.refusals = [TOO_LARGE]
    it.deliver(Plain(1, headers={"small": "s", "large": "l" * 1000}))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    whole, smaller = sent(it)
    assert whole.headers["large"] == "l" * 1000
    assert TRUNCATED not in whole.headers
    assert smaller.headers == {
        **{key: value for key, value in whole.headers.items() if key != "large"},
        TRUNCATED: "large",
    }
    assert smaller.body == whole.body
    assert smaller.dedup_id != whole.dedup_id
    assert it.dispatcher.health().error == ""
    until(lambda: caplog.text.count("without these headers: large") == 1, "it is logged", 5)


def test_what_was_learned_holds_in_the_next_connection(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch):
    it = bench(fail, retry=Retry(max_attempts=1))
    it.broker.refusals = [TOO_LARGE]
    gone, send = threading.Event(), it.broker.send

    def send_and_break(batch: Sequence[Message], done: Done, **options: Any) -> None:
        def refused(index: int, error: Exception | None) -> None:
            it.dispatcher.state(SubscriptionState.INACTIVE, 1, ConnectionError("gone"))
            done(index, error)
            gone.set()

        send(batch, refused, **options)

    monkeypatch.setattr(it.broker, "send", send_and_break)
    it.deliver(Plain(1, headers={"large": "l" * 1000}))
    assert gone.wait(5)
    monkeypatch.setattr(it.broker, "send", send)
    it.dispatcher.state(SubscriptionState.ACTIVE, 2, None)
    it.deliver(Plain(1, generation=2, headers={"large": "l" * 1000}))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert [message.headers.get(TRUNCATED) for message in sent(it)] == [None, "large"]


def test_a_dead_letter_that_nothing_makes_fit_stays_with_the_broker(bench: Callable[..., Bench]):
    it = bench(fail, retry=Retry(max_attempts=1))
    it.broker.refusals = [TOO_LARGE] * 20
    it.deliver(Plain(1, headers={"a": "b"}))
    it.broker.wait_for(lambda: len(it.broker.sent) == 20)
    assert it.broker.settled == []
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    least = sent(it)[-1]
    assert {"eventing-reason", "eventing-listener", "eventing-event", "eventing-attempts"} <= least.headers.keys()
    assert least.body == b'{"number":1}'


def test_a_refusal_of_another_kind_drops_nothing(bench: Callable[..., Bench]):
    it = bench(fail, retry=Retry(max_attempts=1))
    it.broker.refusals = [SendRejectedError("AMQ149005: too large, says a stranger"), RuntimeError("odd")]
    it.deliver(Plain(1, headers={"a": "b" * 1000}))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert [message.headers.get("a") for message in sent(it)] == ["b" * 1000] * 3


def test_a_retry_that_can_not_be_stored_is_held_and_whole(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_failing, "HOLD_LIMIT", 0.0)
    runs: list[int] = []

    def on(number: int) -> None:
        runs.append(number)
        if len(runs) < 3:
            fail(number)

    it = bench(on)
    it.broker.refusals = [TOO_LARGE]
    it.deliver(Plain(1, headers={"a": "b" * 1000}))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    # The second one isn't tried: it would be refused as well.
    assert (runs, len(it.broker.sent)) == ([1, 1, 1], 1)


def test_a_retry_that_can_not_be_stored_goes_back_when_stopping(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_failing, "HOLD_LIMIT", 0.0)
    it = bench(fail, retry=Retry(initial=30, jitter=0))
    it.broker.refusals = [TOO_LARGE]
    it.deliver(Plain(1))
    it.broker.wait_for(lambda: it.dispatcher.health().held == 1)
    it.dispatcher.pause()
    it.broker.wait_for(lambda: it.broker.released() == [1])
    assert it.broker.accepted() == []
    assert it.dispatcher.health().held == 0


# -- exceptions of every kind -----------------------------------------------------------------------------------------


class SilentError(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class LeavingError(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)

    __repr__ = __str__


class DeafError(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]  # noqa: PLE0307 (as a user may write it)


class Odd(str):
    __slots__ = ()

    def __getitem__(self, _: Any) -> str:
        raise GeneratorExit

    def encode(self, *_: Any) -> bytes:
        raise GeneratorExit

    replace = encode  # type: ignore[assignment]


class TalkingError(Exception):
    def __str__(self) -> str:
        return Odd("odd \ud800\0 text")


#: Whoever looks at all objects of the process outside of these tests is to see harmless ones.
hostile = threading.Event()


class Nameless(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in {"__name__", "__qualname__", "__module__"} and hostile.is_set():
            raise KeyboardInterrupt
        return super().__getattribute__(name)


class UnnamedError(Exception, metaclass=Nameless):
    pass


def class_of(_: object) -> type[Exception]:
    if hostile.is_set():
        raise KeyboardInterrupt
    return ValueError


ClasslessError = type("ClasslessError", (Exception,), {"__class__": property(class_of)})


def named(name: str, module: object = "somewhere") -> type[Exception]:
    kind = type("Named", (Exception,), {})
    kind.__qualname__ = name
    kind.__module__ = module  # type: ignore[assignment]
    return kind


ERRORS: dict[str, Exception] = {
    "__str__ raises KeyboardInterrupt": SilentError(),
    "__str__ and __repr__ raise SystemExit": LeavingError(),
    "__str__ returns a number": DeafError(),
    "__str__ returns a str of another class": TalkingError(),
    "metaclass without names": UnnamedError("x"),
    "__class__ raises": ClasslessError("x"),
    "surrogate in the name": named("Bad\ud800Name")("x"),
    "NUL in the name": named("Bad\0Name")("x"),
    "surrogate in the module": named("Name", "mod\udfffule")("x"),
    "module is a number": named("Name", 7)("x"),
    "endless name": named("N" * 1_000_000)("x"),
    "endless text": ValueError("x" * 10_000_000),
    "surrogates in the text": ValueError("a\ud800b\udfffc\0"),
    "group": ExceptionGroup("g", [SilentError()]),
}


@pytest.fixture
def enemies() -> Iterator[None]:
    hostile.set()
    yield
    hostile.clear()


@pytest.mark.usefixtures("enemies")
@pytest.mark.parametrize("name", ERRORS)
def test_whatever_an_exception_does_its_event_is_dead_lettered(bench: Callable[..., Bench], name: str):
    def on(_: int) -> None:
        raise ERRORS[name]

    it = bench(on, retry=Retry(max_attempts=2, initial=0.01))
    it.deliver(Plain(1), Plain(2))
    it.broker.wait_for(lambda: sorted(it.broker.accepted()) == [1, 2])
    for copy in sent(it):
        assert copy.headers["eventing-reason"] == "failed"
        assert len(copy.headers["eventing-error-message"]) <= 1_000
        assert len(copy.headers["eventing-error-type"]) <= 401
        for value in copy.headers.values():
            assert type(value) is str
            assert "\0" not in value
            value.encode()


@pytest.mark.usefixtures("enemies")
@pytest.mark.parametrize("name", ERRORS)
def test_an_async_listener_s_exception_may_do_the_same(bench: Callable[..., Bench], name: str):
    @event_listener(Tick, retry=Retry(max_attempts=1))
    class Failing(EventListener[Tick]):
        async def on(self, event: Tick) -> None:
            raise ERRORS[name]

    it = Bench(Failing(), retry=Retry(max_attempts=1))
    try:
        it.deliver(Plain(1))
        it.broker.wait_for(lambda: it.broker.accepted() == [1])
    finally:
        it.close()


def test_an_error_of_a_pipeline_in_send_events_may_do_the_same():
    assert "its text is not available" in str(SendEventsError([(0, SilentError())], 1))


@pytest.mark.usefixtures("enemies")
def test_an_error_is_described_by_its_real_name():
    assert describe_error(UnnamedError("x")) == "UnnamedError: x"
    assert describe_error(SilentError()) == "SilentError: (its text is not available)"
    assert describe_error(named("Bad\ud800Name")("x")) == "Bad?Name: x"


def test_headers_of_users_can_not_pretend_to_be_truncated():
    with pytest.raises(HeaderError, match="reserved"):
        check_header(TRUNCATED, "a")
