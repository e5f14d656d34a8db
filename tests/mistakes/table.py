"""What a mistake is, and what comes of it."""

from __future__ import annotations

import logging
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from eventing_core import EventManager, Options
from eventing_core.errors import EventingError
from eventing_core.memory import MemoryBroker, MemoryProvider
from examples.artemis import Artemis

#: In place of every password. No message may show it.
SECRET = "hunter2-tr0ub4dor"

#: What a message may have.
LINES = 3


class Stage:
    """What a mistake is made with. Everything that it made is gone afterwards.

    Attributes:
        folder: the working directory, empty.
        heard: the records that were logged.
    """

    def __init__(self, stack: ExitStack, folder: Path, artemis: Artemis | None) -> None:
        self.folder = folder
        self.heard: list[logging.LogRecord] = []
        self._stack = stack
        self._artemis = artemis
        self._number = uuid4().hex[:8]

    @property
    def artemis(self) -> Artemis:
        """A real broker."""
        assert self._artemis is not None, "this mistake needs a broker"
        return self._artemis

    def unique(self, name: str) -> str:
        """A name that nobody else has on the broker."""
        return f"{name}{self._number}"

    def write(self, text: str, name: str = "eventing.toml") -> None:
        """A file in the working directory."""
        (self.folder / name).write_text(text)

    def manager(self, *listeners: Any, provider: Any = None, environment: Any = None, **options: Any) -> EventManager:
        """A manager on a memory broker of its own, unless a provider is given; stopped in the end."""
        made = EventManager(
            provider or MemoryProvider("server", MemoryBroker()),
            listeners=listeners,
            pipelines=[],
            environment=environment,
            options=Options(**{"stop_timeout": 2.0, **options}),
        )
        self._stack.callback(made.stop)
        return made

    def at_broker(self, kind: Any, server_name: str = "server", /, **settings: Any) -> Any:
        """A provider for the real broker."""
        broker = self.artemis
        place = {"host": broker.host, "port": broker.port, "user": broker.user, "password": broker.password}
        return kind(server_name, **{**place, **settings})

    def environ(self, **variables: str) -> None:
        """Environment variables, for as long as the mistake takes."""
        before = dict(os.environ)
        os.environ.update(variables)
        self._stack.callback(os.environ.update, before)
        self._stack.callback(os.environ.clear)

    def at_end(self, call: Callable[[], object]) -> None:
        """Call it once the mistake is over."""
        self._stack.callback(call)

    def enter(self, context: Any) -> Any:
        """Enter a context manager, which is left in the end."""
        return self._stack.enter_context(context)

    def logged(self, level: int = logging.WARNING) -> list[str]:
        """What was logged so far."""
        return [record.getMessage() for record in self.heard if record.levelno >= level]


@dataclass(frozen=True)
class Mistake:
    """One.

    Attributes:
        group: what part of using the library it belongs to.
        name: what somebody did.
        make: does it.
        names: what the message has to name: the class, key, file or host.
        fix: the instruction that the message has to give.
        needs_broker: a real one.
        by_log: a log line says it, since nothing fails, or fails elsewhere.
        raises: what is raised, where nothing is logged.
    """

    group: str
    name: str
    make: Callable[[Stage], None]
    names: tuple[str, ...]
    fix: str
    needs_broker: bool
    by_log: bool
    raises: type[Exception] = EventingError


@dataclass
class Group:
    """The mistakes of one part."""

    name: str
    mistakes: list[Mistake] = field(default_factory=list[Mistake])

    def add(
        self,
        name: str,
        *names: str,
        fix: str,
        broker: bool = False,
        by_log: bool = False,
        raises: type[Exception] = EventingError,
    ) -> Callable[[Callable[[Stage], None]], Callable[[Stage], None]]:
        """Add the function below to the mistakes."""

        def add(make: Callable[[Stage], None]) -> Callable[[Stage], None]:
            self.mistakes.append(Mistake(self.name, name, make, names, fix, broker, by_log, raises))
            return make

        return add


@dataclass(frozen=True)
class Told:
    """What comes of a mistake.

    Attributes:
        error: what was raised.
        message: its text, or the log line that says it; empty where there is none.
        shown: all that was shown anywhere.
    """

    error: BaseException | None
    message: str
    shown: str


class _Keeping(logging.Handler):
    """Keeps records."""

    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def outcome(mistake: Mistake, artemis: Artemis | None = None) -> Told:
    """Make a mistake, and see what is said."""
    logger = logging.getLogger("eventing")
    level = logger.level
    error: BaseException | None = None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(_working_in(folder))
        stage = Stage(stack, folder, artemis)
        handler = _Keeping(stage.heard)
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        stack.callback(logger.setLevel, level)
        stack.callback(logger.removeHandler, handler)
        try:
            mistake.make(stage)
        except mistake.raises as raised:
            error = raised
        lines = stage.logged()
    trace = "".join(traceback.format_exception(error)) if error else ""
    told = "\n".join(lines) if mistake.by_log else str(error or "")
    if mistake.by_log:
        told = next((line for line in lines if all(name in line for name in mistake.names)), told)
    return Told(error, told, "\n".join([trace, repr(error), *(record.getMessage() for record in stage.heard)]))


def settings(**values: Any) -> Mapping[str, Any]:
    """Keyword arguments of `EventManager.from_config`, with nothing declared."""
    return {"listeners": [], "pipelines": [], **values}
