"""STOMP frames, in any pieces and with any headers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventing_stomp import _frames
from eventing_stomp._frames import (
    BrokenFrameError,
    Incoming,
    LargeFrameError,
    Splitter,
    escape,
    frame,
    lines,
    read_headers,
    unescape,
)

#: NUL ends a frame; `Envelope.set` refuses it.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
NASTY = st.text(st.sampled_from("\\\n\r:ncr ä🎉"), max_size=12)


def split(*pieces: bytes) -> list[tuple[bytes, dict[str, str], bytes]]:
    """The frames that come out when these pieces are put in: command, headers, body."""
    splitter = Splitter()
    found = [incoming for piece in pieces for incoming in splitter.feed(piece)]
    return [(incoming.command, read_headers(incoming.head), incoming.body) for incoming in found]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


# -- cutting into frames ----------------------------------------------------------------------------------------------

#: Every kind of frame that is there, and heartbeats between them.
STREAM = (
    b"\n"
    b"RECEIPT\nreceipt-id:7\n\n\0"
    b"\n\n"
    b"MESSAGE\nsubscription:1\nack:a\\c1\ncontent-length:6\n\na\0b\n\nc\0"
    b"MESSAGE\r\nsubscription:2\r\ncontent-length:8\r\n\r\n\r\n\r\n\n\n\0\0\0"
    b"\r\n"
    b"MESSAGE\r\ncontent-length:3\r\n\r\n\n\nx\0"
    b"MESSAGE\nsubscription:3\n\nno length\n\nat all\0"
    b"RECEIPT\r\n\r\n\0"
    b"ERROR\nmessage:gone\n\n\0"
    b"\n"
    # As Artemis's begin: plain, with NUL in the body, without a body, without more headers, and without a length.
    b"MESSAGE\nsubscription:4\ncontent-length:6\nk:v\n\n\n\nabcd\0\n"
    b"MESSAGE\nsubscription:4\ncontent-length:8\nk:value\n\n\n\na\0\n\nb\0\0\n"
    b"MESSAGE\nsubscription:4\ncontent-length:0\nk:v\n\n\0\n"
    b"MESSAGE\nsubscription:4\ncontent-length:1\n\nx\0\n"
    b"MESSAGE\nsubscription:4\nk:v\n\nMESSAGE\nsubscription:4\ncontent-length:1\n\nx\0\n"
)
FRAMES = [
    (b"RECEIPT", {"receipt-id": "7"}, b""),
    (b"MESSAGE", {"subscription": "1", "ack": "a:1", "content-length": "6"}, b"a\0b\n\nc"),
    (b"MESSAGE", {"subscription": "2", "content-length": "8"}, b"\r\n\r\n\n\n\0\0"),
    (b"MESSAGE", {"content-length": "3"}, b"\n\nx"),
    (b"MESSAGE", {"subscription": "3"}, b"no length\n\nat all"),
    (b"RECEIPT", {}, b""),
    (b"ERROR", {"message": "gone"}, b""),
    (b"MESSAGE", {"subscription": "4", "content-length": "6", "k": "v"}, b"\n\nabcd"),
    (b"MESSAGE", {"subscription": "4", "content-length": "8", "k": "value"}, b"\n\na\0\n\nb\0"),
    (b"MESSAGE", {"subscription": "4", "content-length": "0", "k": "v"}, b""),
    (b"MESSAGE", {"subscription": "4", "content-length": "1"}, b"x"),
    (b"MESSAGE", {"subscription": "4", "k": "v"}, b"MESSAGE\nsubscription:4\ncontent-length:1\n\nx"),
]


def test_frames_come_whole():
    assert split(STREAM) == FRAMES


def test_messages_without_another_line_end_come_whole():
    plain = STREAM[STREAM.index(b"MESSAGE\nsubscription:4") :]
    for place in range(len(plain)):
        assert split(plain[:place], plain[place:]) == FRAMES[-5:], plain[:place]


def test_frames_come_in_two_pieces():
    for place in range(1, len(STREAM)):
        assert split(STREAM[:place], STREAM[place:]) == FRAMES, STREAM[:place]


def test_frames_come_byte_by_byte():
    assert split(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == FRAMES


@given(st.sets(st.integers(0, len(STREAM)), max_size=20))
def test_frames_come_in_any_pieces(places: set[int]):
    assert split(*cut(STREAM, places)) == FRAMES


def test_a_frame_comes_with_its_last_byte_and_no_sooner():
    splitter = Splitter()
    data = b"MESSAGE\ncontent-length:3\n\nabc\0"
    for at in range(len(data) - 1):
        assert splitter.feed(data[at : at + 1]) == []
    (incoming,) = splitter.feed(data[-1:])
    assert incoming == Incoming(b"MESSAGE", b"MESSAGE\ncontent-length:3\n", b"abc")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["MESSAGE", "RECEIPT", "ERROR"]),
            st.dictionaries(TEXT | NASTY, TEXT | NASTY, max_size=4),
            st.binary(max_size=80),
        ),
        max_size=5,
    ),
    st.data(),
)
def test_what_is_written_is_read(frames: list[tuple[str, dict[str, str], bytes]], data: st.DataObject):
    raw = b""
    expected: list[tuple[bytes, dict[str, str], bytes]] = []
    for command, headers, body in frames:
        full = {**headers, "content-length": str(len(body))}
        raw += frame(command, full, body) + data.draw(st.sampled_from([b"", b"\n", b"\r\n", b"\n\n\n"]))
        expected.append((command.encode(), full, body))
    places = data.draw(st.sets(st.integers(0, len(raw)), max_size=8))
    assert split(*cut(raw, places)) == expected


@given(
    st.lists(
        st.tuples(st.sampled_from([b"", b"k:v\n", b"k:a\0b\n", b"content-length:1\n"]), st.text("\n\0M:1")), max_size=5
    ),
    st.booleans(),
    st.data(),
)
def test_messages_as_artemis_writes_them_are_cut_as_all_others(
    frames: list[tuple[bytes, str]], returns: bool, data: st.DataObject
):
    raw = b"\n".join(
        b"MESSAGE\nsubscription:1\ncontent-length:%d\n%b\n%b\0" % (len(body), more, body.encode())
        for more, body in frames
    )
    places = data.draw(st.sets(st.integers(0, len(raw)), max_size=4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_frames, "_MESSAGE", re.compile(b"(?!)"))
        expected = split(raw)
    assert len(expected) == len(frames)
    # A piece in which there is another line end is read in no quick way.
    assert split(*cut(raw + b"\r\n" * returns, places)) == expected


def test_messages_as_artemis_writes_them_are_cut_in_the_quick_way(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Splitter, "_next", None)
    head = b"MESSAGE\nsubscription:1\ncontent-length:3\nk:v\n"
    assert Splitter().feed((head + b"\na\nb\0\n") * 3) == [Incoming(b"MESSAGE", head, b"a\nb")] * 3


@pytest.mark.parametrize("length", [b"content-length:1000000\n", b""], ids=["length", "no length"])
def test_a_large_body_is_not_copied_with_every_piece(length: bytes, monkeypatch: pytest.MonkeyPatch):
    looked: list[bytes] = []
    real = _frames._content_length

    def look(head: bytes) -> int | None:
        looked.append(head)
        return real(head)

    monkeypatch.setattr(_frames, "_content_length", look)
    splitter, body = Splitter(), (b"\0\n" if length else b"x\n") * 500_000
    data = b"MESSAGE\n%b\n%b\0\nRECEIPT\n\n\0" % (length, body)
    pieces = [data[at : at + 1000] for at in range(0, len(data), 1000)]
    found = [incoming for piece in pieces for incoming in splitter.feed(piece)]
    assert [incoming.body for incoming in found] == [body, b""]
    # The first piece tells the length, or that there is none; the next look is at the end. Each copies what is there.
    assert len(looked) <= 4


# -- what is no frame -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"MESSAGE\ncontent-length:x\n\nabc\0",
        b"MESSAGE\ncontent-length:-1\n\nabc\0",
        b"MESSAGE\ncontent-length:\n\nabc\0",
        b"MESSAGE\ncontent-length:1.0\n\nabc\0",
        b"MESSAGE\ncontent-length:\xd9\xa3\n\nabc\0",
        b"MESSAGE\ncontent-length:" + b"9" * 5000 + b"\n\nabc\0",
        # It is shorter, or longer, than the body.
        b"MESSAGE\ncontent-length:2\n\nabc\0",
        b"MESSAGE\ncontent-length:4\n\nabc\0RECEIPT\n\n\0",
        b"x" * ((1 << 20) + 1),
    ],
    ids=range(9),
)
def test_broken_frames_are_refused(raw: bytes):
    with pytest.raises(BrokenFrameError):
        Splitter().feed(raw)


def test_headers_without_end_are_refused_in_pieces_too():
    splitter = Splitter()
    piece = b"k:v\n" * 10_000
    for _ in range((1 << 20) // len(piece)):
        assert splitter.feed(piece) == []
    with pytest.raises(BrokenFrameError):
        splitter.feed(piece)


@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from([b"\n", b"\r", b"\0", b":", b"A", b"\ncontent-length:", b"1"])).map(b"".join)
)
@example(b"\ncontent-length:1")
@example(b"A\r\n\r\n\nbody\0")
@example(b"A\n\n\r\nbody\0")
def test_any_bytes_are_cut_or_refused(raw: bytes):
    def outcome(*pieces: bytes) -> object:
        try:
            return split(*pieces)
        except BrokenFrameError:
            return "broken"

    whole = outcome(raw)
    assert outcome(*(raw[at : at + 1] for at in range(len(raw)))) == whole


#: Of Artemis 2.44; of a text its length comes after the message's id.
ARTEMIS_TEXT = b"MESSAGE\nsubscription:1\nmessage-id:1,2\ncontent-length:%d\nack:1,2\n\n"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_an_empty_text_of_artemis_with_the_length_of_something_else_is_empty(end: bytes):
    raw = (ARTEMIS_TEXT % 20 + b"\0\n").replace(b"\n", end)
    frames = split(raw, raw + b"RECEIPT\nreceipt-id:7\n\n\0" + b"\n" * 20)
    assert [(command, body) for command, _, body in frames] == [
        (b"MESSAGE", b""),
        (b"MESSAGE", b""),
        (b"RECEIPT", b""),
    ]


@pytest.mark.parametrize("body", [b"a\0b", b"\0ab", b"\0", b""])
def test_a_text_of_artemis_may_hold_nul(body: bytes):
    raw = ARTEMIS_TEXT % len(body) + body + b"\0\n"
    assert [frame[2] for frame in split(raw * 2)] == [body, body]


def test_a_text_of_artemis_with_a_body_that_its_length_does_not_fit_is_refused():
    with pytest.raises(BrokenFrameError):
        Splitter().feed(ARTEMIS_TEXT % 2 + b"abc\0\n")


def test_a_head_may_hold_nul():
    # Artemis hands on what an AMQP client has put into a property: the frame has to come all the same.
    assert split(b"MESSAGE\nk:a\0b\ncontent-length:1\n\nx\0") == [
        (b"MESSAGE", {"k": "a\0b", "content-length": "1"}, b"x")
    ]


# -- headers ----------------------------------------------------------------------------------------------------------


def test_what_is_special_is_escaped():
    assert escape("a\\b\nc\rd:e") == "a\\\\b\\nc\\rd\\ce"
    assert escape("plain äö 🎉\t") == "plain äö 🎉\t"


@given(TEXT | NASTY)
@example("\\n")
@example("\\\\c")
@example("\r\n\r\n")
def test_what_is_escaped_is_one_line_and_comes_back(text: str):
    escaped = escape(text)
    assert not set("\n\r:") & set(escaped)
    assert unescape(escaped) == text


@given(st.dictionaries(TEXT | NASTY, TEXT | NASTY, max_size=6))
def test_headers_come_back_and_none_is_added(headers: dict[str, str]):
    assert read_headers(b"SEND\n" + lines(headers)) == headers


def test_an_escape_that_is_none_stays_as_it_is():
    assert unescape("a\\tb\\") == "a\\tb\\"


def test_a_value_that_is_no_utf8_is_readable():
    head = b"MESSAGE\nk:a\xffb\xe2\x82\nl:x\n"
    assert read_headers(head) == {"k": "a\ufffdb\ufffd", "l": "x"}
    assert Incoming(b"MESSAGE", head, b"").header(b"k") == "a\ufffdb\ufffd"


def test_the_first_of_repeated_headers_holds():
    head = b"MESSAGE\nk:first\nk:second\ncontent-length:1\ncontent-length:9\n"
    assert read_headers(head)["k"] == "first"
    assert Incoming(b"MESSAGE", head, b"").header(b"k") == "first"
    assert [body for _, _, body in split(head + b"\nx\0")] == [b"x"]


def test_one_header_is_found_by_its_whole_key():
    incoming = Incoming(b"MESSAGE", b"MESSAGE\nxid:1\nid2:2\nid:a\\cb\nlast:\n", b"")
    assert incoming.header(b"id") == "a:b"
    assert incoming.header(b"last") == ""
    assert incoming.header(b"MESSAGE") == ""
    assert incoming.header(b"none") == ""


def test_a_line_without_colon_is_no_header():
    assert read_headers(b"MESSAGE\nnonsense\nk:v:w\n") == {"k": "v:w"}


# -- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", [b"", b"subscription:1\n"])
def test_a_frame_up_to_the_limit_is_taken(begin: bytes):
    whole = b"MESSAGE\n%bcontent-length:100\n\n%b\0" % (begin, b"x" * 100)
    for end in range(len(whole)):
        splitter = Splitter(len(whole) - 1)
        assert not splitter.feed(whole[:end])
        assert [incoming.body for incoming in splitter.feed(whole[end:] + whole)] == [b"x" * 100] * 2


@pytest.mark.parametrize("begin", [b"", b"subscription:1\n"])
@pytest.mark.parametrize("rest", [b"", b"x" * 100 + b"\0", b"\0"])
def test_a_length_beyond_the_limit_is_refused_before_anything_of_it_comes(begin: bytes, rest: bytes):
    for length in (b"100", b"1" + b"0" * 17):
        with pytest.raises(LargeFrameError):
            Splitter(100).feed(b"MESSAGE\n%bcontent-length:%b\n\n%b" % (begin, length, rest))


def test_nothing_is_measured_beyond_the_beginning():
    # The length leads from its first NUL to ten bytes before the beginning; before the last ten is an empty line.
    body = b"x" * 8 + b"\0" + b"x" * 40 + b"\n\n" + b"x" * 9
    assert len(body) == 60
    data = b"MESSAGE\nsubscription:1\ncontent-length:60\n\n%b\0" % body
    assert data.index(b"\0") - 60 == -10
    assert data[-12:-10] == b"\n\n"
    assert [incoming.body for incoming in Splitter().feed(data)] == [body]


def test_a_body_that_never_ends_is_kept_up_to_the_limit_and_one_piece_more():
    splitter = Splitter(10_000)
    splitter.feed(b"MESSAGE\n\n")
    while sum(map(len, splitter._rest)) <= 10_000:
        assert not splitter.feed(b"x" * 1000)
    with pytest.raises(LargeFrameError):
        splitter.feed(b"x" * 1000)
    assert sum(map(len, splitter._rest)) <= 11_000
