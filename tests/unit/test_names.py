from __future__ import annotations

import pytest

from eventing_core.declare._names import check_name, flaw_in_name
from eventing_core.errors import DeclarationError


@pytest.mark.parametrize(
    "name",
    ["OrderPlaced", "order.placed", "order-placed", "a:b", "a/b", "Größe", "注文", "topic:/x", "x-topic://", "a&b=c"],
)
def test_takes_names_that_every_transport_can_carry(name: str):
    assert flaw_in_name(name) is None
    assert check_name("the event E", name, "mend") == name


@pytest.mark.parametrize(
    ("name", "flaw"),
    [
        ("", "it is empty"),
        ("a::b", "it contains '::'"),
        ("a?b", "it contains '?'"),
        ("a#", "it contains '#'"),
        ("*", "it contains '*'"),
        ("a,b", "it contains ','"),
        ("topic://a", "it begins with 'topic://'"),
        ("queue://a", "it begins with 'queue://'"),
        ("a:", "it ends with ':'"),
        ("a b", "it contains white space (' ')"),
        ("a\u00a0b", "it contains white space ('\\xa0')"),
        ("a\n", "it contains white space ('\\n')"),
        ("a\0b", "it contains the control character '\\x00'"),
        ("a\x7f", "it contains the control character '\\x7f'"),
        ("a\u200bb", "it contains the control character '\\u200b'"),
        ("a\ud800", "it contains the control character '\\ud800'"),
    ],
)
def test_refuses_others(name: str, flaw: str):
    assert flaw_in_name(name) == flaw
    with pytest.raises(DeclarationError) as caught:
        check_name("the event E", name, "Choose another.")
    assert str(caught.value) == f"the event E: {name!r} is not a valid name: {flaw}. Choose another."
