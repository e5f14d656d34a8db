"""A password that changes on the broker: nothing is stuck, and the next connection has the new one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventing_core.errors import SendRejectedError
from examples.artemis import Artemis, User
from tests.support.bench import Bench, accepting, opened
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("kind")

CORE = "{urn:activemq:core}"
ALL = frozenset({"send", "consume", "browse", "manage", "createAddress", "createDurableQueue", "createNonDurableQueue"})


def forget_logins_at_once(core: Any) -> None:
    """It would let the old password in for another ten seconds, and that by connections that are there as well."""
    for cache in ("authentication-cache-size", "authorization-cache-size"):
        element = core.makeelement(f"{CORE}{cache}", {})
        element.text = "0"
        core.append(element)


def refused(bench: Bench) -> bool:
    """Whether the broker takes no send any more; it may still take this one, or leave it in doubt."""
    done = bench.send("perhaps")
    until(lambda: bool(done.results.items()) or is_shut_out(bench), "it is refused, or taken")
    errors = [error for _, error in done.results.items()]
    assert all(error is None or isinstance(error, SendRejectedError) for error in errors)
    return errors != [None]


def is_shut_out(bench: Bench) -> bool:
    """Whether the provider can't connect with that password."""
    return "refuses user or password" in bench.provider.health().error


def test_a_password_that_changes_under_a_connection(
    make_artemis: Callable[..., Artemis], tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
):
    first, second = "first-tr0ub4dor", "second-tr0ub4dor"
    broker = make_artemis(users=[User(name="orders", password=first, permissions=ALL)], edit=forget_logins_at_once)
    file, users = tmp_path / "password", broker.folder / "etc" / "artemis-users.properties"
    file.write_text(first)
    with opened(broker, "s", user="orders", password="", password_file=file) as bench:
        recorder = accepting(bench.listen_active(window=10))
        bench.put("a")
        users.write_text(users.read_text().replace(first, second))
        if kind == "stomp":
            # The broker tells nothing but that it takes a send not, and that may be about the send: it fails.
            until(lambda: refused(bench), "a send is refused")
        sent = bench.send("b", "c")
        until(lambda: is_shut_out(bench), "the old password is refused")
        assert sent.errors == []
        file.write_text(second)
        assert sorted(sent.wait(2)) == [(0, None), (1, None)]
        recorder.deliveries.until(lambda _: {"a", "b", "c"} <= set(recorder.bodies()), "they come")
        bench.put("d")
        assert set(recorder.bodies()) <= {"a", "b", "c", "d", "perhaps"}
    assert first not in caplog.text
    assert second not in caplog.text
