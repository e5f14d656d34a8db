"""A stranger's transport: the SQLite example, from its wheel, where nothing of this checkout can help it."""

from __future__ import annotations

import ast
import re
import shutil
import signal
import subprocess
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.packaging.conftest import EXAMPLE, Environment, build
from tests.support.commands import ROOT, check, module, run
from tests.support.processes import Numbers
from tests.support.waiting import until

HOW_TO = ROOT / "docs" / "how-to" / "write-a-provider.md"
EVENTS = 300

#: What a provider may import from the core, and its tests on top of that.
PUBLIC = {"eventing_core.errors", "eventing_core.hookspecs", "eventing_core.provider"}
PUBLIC_FOR_TESTS = {"eventing_core.testing"}

SEND_AND_HANDLE = """
import threading
from dataclasses import dataclass
from eventing_core import EventListener, EventManager, event, event_listener

@dataclass
@event(durable=True)
class Hello:
    world: str

handled = threading.Event()

@event_listener(Hello)
class OnHello(EventListener[Hello]):
    def on(self, event: Hello) -> None:
        print("handled", event.world)
        handled.set()

with EventManager.from_config() as manager:
    manager.send_event(Hello("world"))
    assert handled.wait(30)
    print(manager)
"""


@pytest.fixture(scope="session")
def environment(
    wheels: dict[str, Path], make_environment: Callable[[], Environment], tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """Nothing but the core, with its testing kit, and the example, each from its wheel."""
    example = build(tmp_path_factory.mktemp("example"), EXAMPLE)[EXAMPLE.name]
    environment = make_environment()
    environment.install(f"{wheels['eventing-core']}[testing]", example)
    return environment


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with a configuration."""
    settings = 'provider = "sqlite"\n\n[sqlite]\nfile = "events.db"\nlease = 1.0\n'
    (tmp_path / "eventing.toml").write_text(settings, encoding="utf-8")
    return tmp_path


class Process:
    """A worker process; its standard output and its errors are in ``log``."""

    def __init__(self, environment: Environment, folder: Path, kind: str, file: str) -> None:
        self.numbers = Numbers(folder / file)
        self.log = folder / f"{file}.log"
        command = (environment.python, "-I", "-W", "error", Path(__file__).with_name("sqlite_worker.py"), kind, file)
        with self.log.open("w") as log:
            self.process = subprocess.Popen([str(word) for word in command], cwd=folder, stdout=log, stderr=log)
        until(lambda: self.said.startswith("ready"), lambda: f"{file} is ready; it said {self.said!r}")

    @property
    def said(self) -> str:
        return self.log.read_text()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.said

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start(environment: Environment, folder: Path) -> Iterator[Callable[[str, str], Process]]:
    """``start(kind, file)``: a process that listens."""
    with ExitStack() as stack:

        def start_one(kind: str, file: str) -> Process:
            process = Process(environment, folder, kind, file)
            stack.callback(process.kill)
            return process

        yield start_one


def send(environment: Environment, folder: Path, count: int) -> None:
    """Send events with the numbers from 0, in a process of their own."""
    worker = Path(__file__).with_name("sqlite_worker.py")
    check(environment.python, "-I", "-W", "error", worker, "send", "sent", str(count), cwd=folder)


@pytest.mark.timeout(300)
def test_it_is_selected_by_name(environment: Environment, folder: Path):
    script = folder / "service.py"
    script.write_text(SEND_AND_HANDLE, encoding="utf-8")
    said = check(environment.python, "-I", "-W", "error", script, cwd=folder)
    assert said == "handled world\nEventManager('sqlite', started)\n"
    assert (folder / "events.db").exists()


@pytest.mark.timeout(600)
def test_it_passes_the_whole_kit(environment: Environment, tmp_path: Path):
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")
    # Otherwise it would take the settings of a project above.
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = ("-I", "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=results.xml")
    done = run(environment.python, *command, "tests/test_conformance.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    suite = ET.parse(tmp_path / "results.xml").find("testsuite")  # noqa: S314 (pytest's own)
    assert suite is not None
    counts = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    kit = check(*module("pytest"), "-q", "--collect-only", "--no-header", ROOT / "tests/conformance/test_memory.py")
    assert counts == {"tests": kit.count("::test_"), "failures": 0, "errors": 0, "skipped": 0}, done.stdout
    assert "could not be tried" not in done.stdout


@pytest.mark.timeout(300)
def test_it_passes_its_own_tests(environment: Environment, tmp_path: Path):
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = ("-I", "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_database.py")
    assert " passed" in check(environment.python, *command, cwd=tmp_path)


@pytest.mark.timeout(300)
def test_competing_processes_handle_each_event_once(
    environment: Environment, folder: Path, start: Callable[[str, str], Process]
):
    processes = [start("listen", name) for name in ("a", "b", "c")]
    send(environment, folder, EVENTS)

    def handled() -> list[int]:
        return [number for process in processes for number in process.numbers.read()]

    until(lambda: len(handled()) >= EVENTS, lambda: f"all are handled; there are {len(handled())}")
    for process in processes:
        process.stop()
    assert Counter(handled()) == Counter(range(EVENTS))


@pytest.mark.timeout(300)
def test_a_killed_process_loses_nothing(environment: Environment, folder: Path, start: Callable[[str, str], Process]):
    killed = start("hang", "killed")
    send(environment, folder, EVENTS)
    until(lambda: killed.numbers.read() == [0], lambda: f"it has begun with one: {killed.numbers.read()}")
    other = start("listen", "other")
    until(lambda: len(other.numbers) >= EVENTS - 1, lambda: f"the other one handles the rest: {len(other.numbers)}")
    assert 0 not in other.numbers.read()
    killed.kill()
    until(lambda: len(other.numbers) >= EVENTS, "what the killed process had comes to the other one")
    other.stop()
    assert Counter(other.numbers.read()) == Counter(range(EVENTS))


def test_it_has_at_most_400_lines():
    files = sorted((EXAMPLE / "src").rglob("*.py"))
    assert len(files) > 3
    formatted = {file: formatted_by_ruff(file) for file in files}
    assert sum(len(text.splitlines()) for text in formatted.values()) <= 400
    assert formatted == {file: file.read_text(encoding="utf-8") for file in files}


def formatted_by_ruff(file: Path) -> str:
    with file.open("rb") as source:
        command = [*module("ruff"), "format", "--stdin-filename", str(file), "-"]
        return subprocess.check_output(command, stdin=source, cwd=ROOT, text=True)


def private(name: str) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))


def strange_imports(tree: ast.AST, allowed: set[str]) -> list[str]:
    """Imports of what the core doesn't show to providers, and private names of anybody but itself."""
    flaws: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module_name = node.module or ""
            own = module_name.partition(".")[0] == "eventing_sqlite"
            names = [f"{module_name}.{alias.name}" for alias in node.names]
            if node.level or (module_name.partition(".")[0] == "eventing_core" and module_name not in allowed):
                flaws += names
            elif not own:
                flaws += [name for name in names if private(name)]
        elif isinstance(node, ast.Import):
            flaws += [a.name for a in node.names if private(a.name) or a.name.partition(".")[0] == "eventing_core"]
        elif isinstance(node, ast.Attribute):
            of_itself = isinstance(node.value, ast.Name) and node.value.id == "self"
            flaws += [ast.unparse(node)] if private(node.attr) and not of_itself else []
        elif isinstance(node, ast.Name):
            flaws += [node.id] if node.id in {"__import__", "getattr", "setattr"} else []
    return flaws


def test_it_imports_nothing_private():
    modules = [(file, PUBLIC) for file in (EXAMPLE / "src").rglob("*.py")]
    modules += [(file, PUBLIC | PUBLIC_FOR_TESTS) for file in (EXAMPLE / "tests").rglob("*.py")]
    found = {
        file.name: flaws
        for file, allowed in modules
        if (flaws := strange_imports(ast.parse(file.read_text(encoding="utf-8")), allowed))
    }
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "from eventing_core.codec._codec import Codec",
        "from eventing_core import EventManager",
        "import eventing_core.codec._codec",
        "import eventing_core",
        "from eventing_core.provider import _secret",
        "from concurrent.futures import _base",
        "from . import x",
        "manager._provider.close(0)",
        "getattr(manager, 'x')",
    ],
)
def test_what_is_private_is_found(code: str):
    assert strange_imports(ast.parse(code), PUBLIC)


def test_the_how_to_quotes_what_is_there():
    quotes = re.findall(r"^```python\n# (\S+)\n(.*?)^```", HOW_TO.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(quotes) > 3
    for file, text in quotes:
        assert text in (EXAMPLE / file).read_text(encoding="utf-8"), file


def test_the_how_to_draws_the_whole_tree():
    tree = re.findall(r"^```text\n(.*?)^```", HOW_TO.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[0]
    # In the first column of words alone; what follows is what they are.
    drawn = {word for line in tree.splitlines() for word in re.split(r" {3,}(?=\w)", line)[0].split()}
    there = {path.name for path in EXAMPLE.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {word for word in drawn if "." in word or word == "LICENSE"} == there


def test_its_readme_has_all_settings():
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \|", (EXAMPLE / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    settings = (EXAMPLE / "src" / "eventing_sqlite" / "_config.py").read_text(encoding="utf-8")
    fields = re.findall(r"^    (\w+): \w+ = (?:Path\((.+)\)|Field\(default=([\d.]+).*)$", settings, re.MULTILINE)
    assert [(name, value.strip("`")) for name, value in rows] == [
        (name, path or f"{float(number):g}") for name, path, number in fields
    ]
