"""What health_app takes, and what it gives; the options of the health server."""

from starlette.applications import Starlette
from starlette.routing import Mount

from eventing_core import EventManager, HealthOptions, Options
from eventing_core.asgi import HealthReport, health_app

manager = EventManager.from_config()
health_app(manager)
health_app(lambda: manager, details=True)
health_app(lambda: None)
Mount("/", app=health_app(manager))
Starlette(routes=[Mount("/events", health_app(manager))])
Options(health=HealthOptions(port=0, host="::", details=True))
url: str | None = manager.health_url


def state(report: HealthReport) -> str:
    return report["state"]


health_app("manager")  # expect: error
health_app(EventManager)  # expect: error
health_app(lambda: "manager")  # expect: error
health_app(manager, True)  # expect: error
HealthOptions(port="http")  # expect: error
Options(health=8081)  # expect: error
