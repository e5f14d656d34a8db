"""Gets Artemis by Maven, once per machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

VERSION = "2.44.0"
ARTIFACT = f"org.apache.activemq:apache-artemis:{VERSION}:zip:bin"
SHA256 = "d711e6aacd43fd2e3e90993260b2ad391a2e13392d6100e8f6f304f8a7bee801"
MAVEN_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
JAVA = 17

#: Of a new broker, who may do everything.
USER = "eventing"

#: What stands in the template of a broker's files for its folder, for the unpacked one's, and for the user's password.
_FOLDER, _HOME, _PASSWORD = "@FOLDER@", "@HOME@", "@PASSWORD@"


class ArtemisError(Exception):
    """The broker can't be had, or did not do what it was told. The message names its log."""


def unavailable() -> str | None:
    """Say why this machine can't run a broker, or None."""
    java = _java()
    if not java:
        return f"there is no java on the path; Artemis needs Java {JAVA} or later"
    try:
        version = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=60).stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{java} can't be run: {error}"
    found = re.search(r'version "(\d+)', version)
    if not found or int(found[1]) < JAVA:
        return f"{java} is no Java {JAVA} or later"
    if not _home().exists() and not shutil.which("mvn"):
        return f"there is no mvn on the path, which fetches Artemis {VERSION}"
    return None


def fetch() -> Path:
    """The folder of the unpacked broker; fetched by Maven for the first time. Safe beside other processes.

    Raises:
        ArtemisError: Maven failed, or what it got is not what it has to be.
    """
    home = _home()
    if home.exists():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=home.parent) as name:
        folder = Path(name)
        print(f"Maven fetches {ARTIFACT} (46 MB)", file=sys.stderr)
        run(["mvn", "-B", "-q", MAVEN_PLUGIN, f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={folder}"], timeout=900)
        archive = next(folder.glob("*.zip"))
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != SHA256:
            msg = f"{ARTIFACT} has SHA-256 {digest}, where {SHA256} is expected"
            raise ArtemisError(msg)
        with zipfile.ZipFile(archive) as contents:
            contents.extractall(folder)
        unpacked = folder / f"apache-artemis-{VERSION}"
        (unpacked / "bin" / "artemis").chmod(0o755)
        _keep(unpacked, home)
    return home


def _keep(made: Path, place: Path) -> None:
    """Move a folder to its place. Another process may have been faster; then its folder is as good as ours."""
    with contextlib.suppress(OSError):
        made.rename(place)
    if not place.exists():
        msg = f"{place} could not be made"
        raise ArtemisError(msg)


def create(folder: Path, password: str) -> None:
    """Make the files of a new broker, with one `USER`. The folder must not exist.

    Raises:
        ArtemisError: the broker can't be had, or doesn't make them.
    """
    home = fetch()
    shutil.copytree(_template(home), folder)
    _rewrite(folder, {_FOLDER: str(folder), _HOME: str(home), _PASSWORD: password})


def _template(home: Path) -> Path:
    """What ``artemis create`` makes, which takes a Java of its own; once per machine. Safe beside other processes."""
    place = _cache() / f"apache-artemis-{VERSION}-template"
    if place.exists():
        return place
    with tempfile.TemporaryDirectory(prefix="create-", dir=place.parent) as name:
        folder = Path(name) / "broker"
        run(
            [
                *(home / "bin" / "artemis", "create", folder, "--silent", "--require-login", "--no-web"),
                *("--no-autotune", "--user", USER, "--password", "unused", "--role", "all", "--host", "127.0.0.1"),
            ],
            timeout=120,
        )
        _rewrite(folder, {str(folder): _FOLDER, str(home): _HOME})
        users = folder / "etc" / "artemis-users.properties"
        text = users.read_text(encoding="utf-8")
        users.write_text(re.sub(rf"^{USER} = .*$", f"{USER} = {_PASSWORD}", text, flags=re.MULTILINE), encoding="utf-8")
        _keep(folder, place)
    return place


def _rewrite(folder: Path, texts: Mapping[str, str]) -> None:
    """Replace texts in all of a broker's own files."""
    for path in [*(folder / "bin").iterdir(), *(folder / "etc").iterdir()]:
        content = path.read_text(encoding="utf-8")
        for old, new in texts.items():
            content = content.replace(old, new)
        path.write_text(content, encoding="utf-8")


def _home() -> Path:
    return _cache() / f"apache-artemis-{VERSION}"


def _cache() -> Path:
    own = os.environ.get("ARTEMIS_CACHE")
    if own:
        return Path(own).absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "eventing"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "eventing"


def _java() -> str | None:
    home = os.environ.get("JAVA_HOME")
    return str(Path(home) / "bin" / "java") if home else shutil.which("java")


def run(command: Iterable[str | Path], timeout: float) -> str:
    """Run a program to its end, and return what it prints.

    Raises:
        ArtemisError: it failed, or took longer than ``timeout`` seconds.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        msg = f"{Path(words[0]).name} {words[1]}: {type(error).__name__}"
        raise ArtemisError(msg) from error
    if done.returncode:
        msg = f"{Path(words[0]).name} {words[1]} failed:\n{done.stdout}{done.stderr}"
        raise ArtemisError(msg)
    return done.stdout
