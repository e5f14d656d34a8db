"""The services of docs/how-to, as real processes on a real broker."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import httpx
import pytest

from examples.artemis import Artemis
from tests.support.commands import check, module
from tests.support.pages import write_files
from tests.support.proxy import Proxy
from tests.support.services import Service
from tests.support.waiting import until

SERVE = (*module("uvicorn"), "--host", "127.0.0.1", "--port", "0")

MEMORY = {"EVENTING_PROVIDER": "memory"}


@pytest.fixture
def broker(artemis: Artemis) -> dict[str, str]:
    """The environment of a service on the broker."""
    return {
        "EVENTING_PROVIDER": "amqp",
        "EVENTING_AMQP__HOST": artemis.host,
        "EVENTING_AMQP__PORT": str(artemis.port),
        "EVENTING_AMQP__USER": artemis.user,
        "EVENTING_AMQP__PASSWORD": artemis.password,
        "EVENTING_AMQP__QUEUE_NAME": "{event}.{listener}",
    }


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60) as client:
        yield client


def rename(folder: Path, *names: str, unique: Any) -> None:
    """Give the events names that no other test has on the broker."""
    for file in folder.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        for name in names:
            declared = f"(durable=True)\n@dataclass\nclass {name}:"
            text = text.replace(f"@event{declared}", f'@event("{unique(name)}", {declared[1:]}')
        file.write_text(text, encoding="utf-8")


# -- FastAPI and Starlette --------------------------------------------------------------------------------------------


def test_fastapi_with_two_workers(
    broker: dict[str, str], client: httpx.Client, artemis: Artemis, tmp_path: Path, unique: Any
):
    assert write_files("how-to/use-web-frameworks.md", tmp_path) == [
        "events.py",
        "main.py",
        "server_names.py",
        "starlette_main.py",
        "test_orders.py",
    ]
    rename(tmp_path, "OrderPlaced", "PriceChanged", unique=unique)
    locks = tmp_path / "locks"
    locks.mkdir()
    with Service(*SERVE, "main:app", "--workers", "2", cwd=tmp_path, env={**broker, "TMPDIR": str(locks)}) as service:
        url = service.url
        service.wait_for("Application startup complete", 2)
        names = [f"{socket.gethostname()}-orders-{number}" for number in (1, 2)]
        assert sorted(lock.stem for lock in locks.iterdir()) == names
        assert client.get(f"{url}/events/ready").json() == {"status": "pass", "reasons": []}
        assert client.get(f"{url}/events/health").status_code == 404

        assert client.put(f"{url}/prices/tea/250").status_code == 202

        def prices() -> set[int | None]:
            """Of new connections, which either worker may take."""
            found = set()
            for _ in range(10):
                with urlopen(f"{url}/prices/tea", timeout=60) as response:  # noqa: S310 (our own)
                    found.add(json.load(response))
            return found

        until(lambda: prices() == {250}, "both workers know the price")
        for number in range(20):
            assert client.post(f"{url}/orders/{number}").status_code == 202
        service.wait_for(r"packing order \d+", 20)
        assert len(set(re.findall(r"packing order \d+", service.output))) == 20
        service.stop()
    assert "Traceback" not in service.output
    assert artemis.password not in service.output


def test_starlette(client: httpx.Client, tmp_path: Path):
    write_files("how-to/use-web-frameworks.md", tmp_path)
    with Service(*SERVE, "starlette_main:app", cwd=tmp_path, env=MEMORY) as service:
        url = service.url
        assert client.get(f"{url}/events/ready").status_code == 200
        head = client.head(f"{url}/events/live")
        assert (head.status_code, head.headers["cache-control"]) == (200, "no-store")
        assert client.post(f"{url}/events/live").status_code == 405
        assert client.post(f"{url}/orders/7").status_code == 202
        service.wait_for("packing order 7")
        service.stop()
    assert "Traceback" not in service.output


def test_a_web_service_whose_broker_goes_away(
    broker: dict[str, str], artemis: Artemis, client: httpx.Client, tmp_path: Path
):
    """It is not ready, stays alive, and tells no password, not even in details; the same on a port of its own."""
    write_files("how-to/use-web-frameworks.md", tmp_path)
    (tmp_path / "events.py").write_text("OrderPlaced = None\n", encoding="utf-8")
    main = tmp_path / "starlette_main.py"
    main.write_text(main.read_text(encoding="utf-8").replace("None)", "None), details=True"), encoding="utf-8")
    with Proxy(artemis.port) as proxy:
        env = {
            **broker,
            "EVENTING_AMQP__PORT": str(proxy.port),
            "EVENTING_AMQP__BACKOFF_MAX": "0.5",
            "EVENTING_HEALTH__PORT": str(free_port()),
            "EVENTING_HEALTH__DETAILS": "true",
        }
        with Service(*SERVE, "starlette_main:app", cwd=tmp_path, env=env) as service:
            places = [f"{service.url}/events", f"http://127.0.0.1:{env['EVENTING_HEALTH__PORT']}"]

            def answers(path: str) -> list[int]:
                return [client.get(f"{place}{path}").status_code for place in places]

            assert answers("/ready") == [200, 200]
            proxy.refuse()
            until(lambda: answers("/ready") == [503, 503], "it isn't ready")
            assert answers("/live") == [200, 200]
            assert answers("/health") == [503, 503]
            reports = [client.get(f"{place}/health") for place in places]
            for report in reports:
                assert report.json()["reasons"][0] == "there is no connection to the broker"
                assert report.json()["provider"]["error"]
                assert artemis.password not in report.text
            proxy.accept()
            until(lambda: answers("/ready") == [200, 200], "it is ready again")
            assert answers("/health") == [200, 200]
            service.stop()
    assert artemis.password not in service.output


def test_the_tests_of_a_fastapi_service(tmp_path: Path):
    write_files("how-to/use-web-frameworks.md", tmp_path)
    # Not the settings of this project, which may be above the temporary folder.
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    output = check(
        *module("pytest"), "-W", "error", "-p", "no:cacheprovider", "test_orders.py", cwd=tmp_path, env=alone
    )
    assert "1 passed" in output


# -- Django -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, unique: Any) -> Path:
    """A Django project, as its own command makes it, with the files of the page."""
    check(*module("django"), "startproject", "shop", tmp_path)
    files = write_files("how-to/use-django.md", tmp_path)
    assert "orders/management/commands/listen.py" in files
    (tmp_path / "orders" / "__init__.py").touch()
    rename(tmp_path, "OrderPlaced", unique=unique)
    (tmp_path / "shop" / "urls.py").write_text(
        "from django.urls import path\nfrom orders.views import place_order\n"
        'urlpatterns = [path("orders/<int:number>", place_order)]\n',
        encoding="utf-8",
    )
    with (tmp_path / "shop" / "settings.py").open("a", encoding="utf-8") as settings:
        settings.write('INSTALLED_APPS = ["orders"]\nMIDDLEWARE = []\n')
    check(sys.executable, "manage.py", "migrate", "--run-syncdb", cwd=tmp_path, env=MEMORY)
    return tmp_path


def test_django(project: Path, broker: dict[str, str], client: httpx.Client):
    def packed() -> dict[int, int]:
        with closing(sqlite3.connect(project / "db.sqlite3")) as database:
            return dict(database.execute("SELECT number, packed FROM orders_order").fetchall())

    assert "Ran 2 tests" in check(sys.executable, "manage.py", "test", cwd=project, env=MEMORY)
    settings = {**broker, "EVENTING_HEALTH__PORT": str(free_port())}
    health = f"http://127.0.0.1:{settings['EVENTING_HEALTH__PORT']}"
    with (
        Service(sys.executable, "manage.py", "listen", cwd=project, env=settings) as listener,
        Service(*SERVE, "shop.asgi:application", "--lifespan", "off", cwd=project, env=settings) as web,
    ):
        until(lambda: answer(client, f"{health}/ready") == 200, lambda: f"it listens:\n{listener.output}")
        assert client.post(f"{web.url}/orders/1").status_code == 202
        assert client.post(f"{web.url}/orders/1000000").status_code == 500, "it is rolled back"
        assert client.post(f"{web.url}/orders/2").status_code == 202
        until(lambda: packed() == {1: 1, 2: 1}, lambda: f"both orders are packed:\n{listener.output}")
        assert client.get(f"{health}/live").status_code == 200
        listener.stop()
        assert answer(client, f"{health}/ready") is None
        web.stop()
    assert "Traceback" not in listener.output


def answer(client: httpx.Client, url: str) -> int | None:
    try:
        return client.get(url).status_code
    except httpx.TransportError:
        return None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# -- injector ---------------------------------------------------------------------------------------------------------


def test_the_main_of_a_service(tmp_path: Path, broker: dict[str, str], client: httpx.Client, unique: Any):
    assert write_files("how-to/inject.md", tmp_path) == ["orders.py"]
    rename(tmp_path, "OrderPlaced", "OrderPacked", unique=unique)
    (tmp_path / "shop.py").write_text(
        "from eventing_core import EventManager\nimport orders\n"
        "with EventManager.from_config(listeners=[]) as manager:\n"
        "    manager.send_events(orders.OrderPlaced(number) for number in range(3))\n",
        encoding="utf-8",
    )
    with Service(sys.executable, "orders.py", cwd=tmp_path, env={**broker, "EVENTING_HEALTH__PORT": "0"}) as service:
        service.wait_for(r"health: http://\S+/live")
        found = re.search(r"health: (http://\S+)/live", service.output)
        assert found is not None
        until(lambda: answer(client, f"{found[1]}/ready") == 200, "it is ready")
        check(sys.executable, "shop.py", cwd=tmp_path, env=broker)
        service.wait_for(r"Utrecht: packed order \d", 3)
        service.wait_for(r"order \d is on its way", 3)
        service.stop()
        assert "stopping" in service.output
        assert answer(client, f"{found[1]}/live") is None
    assert broker["EVENTING_AMQP__PASSWORD"] not in service.output
