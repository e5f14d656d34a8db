"""What an import of the package brings, and when."""

from __future__ import annotations

import subprocess
import sys

import pytest

import eventing_core

PROGRAM = """
import sys
from eventing_core import Envelope, EventListener, EventingError, Retry, event, event_listener
early = sorted({"asyncio", "logging", "pluggy", "eventing_core.manager._manager"} & sys.modules.keys())
assert not early, early
from eventing_core import EventManager
assert EventManager.__module__ == "eventing_core.manager._manager"
"""


def test_who_only_declares_events_doesnt_wait_for_what_a_manager_needs() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)


@pytest.mark.parametrize("name", eventing_core.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert name in dir(eventing_core)
    value = getattr(eventing_core, name)
    assert getattr(value, "__name__", name) == name  # aliases have none


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="module 'eventing_core' has no attribute 'EventManger'"):
        eventing_core.EventManger  # type: ignore[attr-defined]  # noqa: B018 (it raises)
