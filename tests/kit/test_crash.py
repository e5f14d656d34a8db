"""What stands in for a lost connection where there is none: a process that dies with what it was given."""

from __future__ import annotations

from eventing_core.testing import _kit
from examples.artemis import Artemis


def test_a_process_takes_messages_and_is_gone(artemis: Artemis):
    place = {"host": artemis.host, "port": artemis.port, "user": artemis.user, "password": artemis.password}
    kit = _kit.Kit({"provider": "amqp", "amqp": place})
    try:
        _, queue = kit.filled("abc")
        assert kit.crash(queue, 2) == [0, 0]
        assert sorted(message.body for message in kit.read(queue)) == [b"a", b"b", b"c"]
    finally:
        kit.close()
