"""The example that the API was designed from, word for word, as the README has it."""

from __future__ import annotations

import re
import sys

from examples.artemis import Artemis
from tests.support.commands import ROOT, check

#: `{environment}` stands for the container that the application makes.
EXAMPLE = """\
@dataclass
@event()
class HelloEvent:
    world: str

@event_listener(HelloEvent)
class HelloEventListener(EventListener[HelloEvent]):
    def __init__(self, greeter: Greeter):      # injected
        self.greeter = greeter

    def on(self, event: HelloEvent):
        self.greeter.greet(event.world)

environment = {environment}
event_manager = environment.get(EventManager)
event_manager.send_event(HelloEvent("world"))
"""


def readme_example() -> str:
    programs: list[str] = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    (found,) = (program for program in programs if "EventingModule" in program)
    return found


def test_the_readme_has_it_word_for_word():
    before, _, after = EXAMPLE.partition("{environment}")
    example = readme_example()
    assert example.count(before) == 1
    rest = example.partition(before)[2]
    environment, _, rest = rest.partition("\n")
    assert "Injector([EventingModule()])" in environment
    assert f"\n{rest}".startswith(after)


def test_on_memory():
    assert check(sys.executable, "-c", readme_example(), env={"EVENTING_PROVIDER": "memory"}) == "Hello, world!\n"


def test_on_artemis(artemis: Artemis):
    settings = {
        "EVENTING_PROVIDER": "amqp",
        "EVENTING_WARN_NOT_DURABLE": "false",
        "EVENTING_AMQP__HOST": artemis.host,
        "EVENTING_AMQP__PORT": str(artemis.port),
        "EVENTING_AMQP__USER": artemis.user,
        "EVENTING_AMQP__PASSWORD": artemis.password,
    }
    assert check(sys.executable, "-c", readme_example(), env=settings) == "Hello, world!\n"
    queue = artemis.queue_stat()["HelloEventListener"]
    assert queue.address == "HelloEvent"
    assert (queue.added, queue.messages) == (1, 0)
