"""Settings that are wrong: in files, environment variables and arguments."""

from __future__ import annotations

from typing import Any

from eventing_amqp import AMQProvider
from eventing_core import EventManager, Options
from eventing_core.injector import EventingModule
from eventing_core.memory import MemoryProvider
from eventing_stomp import StompProvider
from tests.mistakes.table import SECRET, Group, Stage, settings

CONFIGURING = Group("configuring")


def configure(path: str | None = None, **values: Any) -> EventManager:
    """A manager by the configuration."""
    return EventManager.from_config(path, **settings(**values))


@CONFIGURING.add("provider = rabbitmq", "'rabbitmq'", fix='provider = "stomp" with broker = "rabbitmq"')
def _(stage: Stage) -> None:
    stage.write('provider = "rabbitmq"\n[rabbitmq]\nhost = "broker"\n')
    configure()


@CONFIGURING.add("provider = kafka", "'kafka'", fix="Set provider to an installed one")
def _(_: Stage) -> None:
    configure(provider="kafka")


@CONFIGURING.add("provider = artemis", "'artemis'", fix='provider = "amqp"')
def _(_: Stage) -> None:
    configure(provider="artemis")


@CONFIGURING.add("provider = ampq", "'ampq'", fix="Did you mean 'amqp'?")
def _(_: Stage) -> None:
    configure(provider="ampq")


@CONFIGURING.add("provider = amqp://...", "provider = 'amqp://...'", fix="Did you mean 'amqp'?")
def _(stage: Stage) -> None:
    stage.environ(EVENTING_PROVIDER=f"amqp://orders:{SECRET}@broker:5672")
    configure()


@CONFIGURING.add("no provider at all", "no provider is configured", fix="Set provider", by_log=True)
def _(_: Stage) -> None:
    configure()


@CONFIGURING.add("hostname in place of host", "eventing.toml", "'amqp.hostname'", fix="did you mean 'host'?")
def _(stage: Stage) -> None:
    stage.write('provider = "amqp"\n[amqp]\nhostname = "broker"\n')
    configure()


@CONFIGURING.add("username in place of user", "'amqp.username'", fix="did you mean 'user'?")
def _(_: Stage) -> None:
    configure(provider="amqp", amqp={"username": "orders"})


@CONFIGURING.add("ssl in place of tls", "'amqp.ssl'", fix="did you mean 'tls'?")
def _(_: Stage) -> None:
    configure(provider="amqp", amqp={"ssl": True})


@CONFIGURING.add("url in place of host", "'amqp.url'", fix="written as host, port, user, password and tls")
def _(_: Stage) -> None:
    configure(provider="amqp", amqp={"url": f"amqp://orders:{SECRET}@broker"})


@CONFIGURING.add("host at the top", "'host'", fix="it belongs to the table 'amqp'")
def _(_: Stage) -> None:
    configure(provider="amqp", host="broker")


@CONFIGURING.add("workers below a table", "'amqp.workers'", fix="it belongs to the top level")
def _(stage: Stage) -> None:
    stage.write('provider = "amqp"\n[amqp]\nworkers = 4\n')
    configure()


@CONFIGURING.add("max_retries", "'retry.max_retries'", fix="did you mean 'max_attempts'? It counts the first run, too.")
def _(_: Stage) -> None:
    configure(retry={"max_retries": 3})


@CONFIGURING.add("one underscore in a variable", "EVENTING_AMQP_PASSWORD", fix="did you mean EVENTING_AMQP__PASSWORD?")
def _(stage: Stage) -> None:
    stage.environ(EVENTING_AMQP_PASSWORD=SECRET)
    configure(provider="amqp")


@CONFIGURING.add("a table that is no JSON", "EVENTING_AMQP", fix='write {"host": "broker"}')
def _(stage: Stage) -> None:
    stage.environ(EVENTING_AMQP=f"password={SECRET}")
    configure(provider="amqp")


@CONFIGURING.add("a word in place of a number", "EVENTING_WORKERS", "workers", fix="valid integer")
def _(stage: Stage) -> None:
    stage.environ(EVENTING_WORKERS="many")
    configure()


@CONFIGURING.add("a list that is no JSON", "EVENTING_AMQP__FAILOVER", fix='or ["a", "b"]')
def _(stage: Stage) -> None:
    stage.environ(EVENTING_AMQP__FAILOVER="backup-1,backup-2")
    configure(provider="amqp")


@CONFIGURING.add("a URL as host", "host", fix='write host = "broker" and port = 61616')
def _(_: Stage) -> None:
    AMQProvider("server", "tcp://broker:61616")


@CONFIGURING.add("a URL with a password as host", "amqp.host", fix='write host = "broker"; user and password are')
def _(_: Stage) -> None:
    configure(provider="amqp", amqp={"host": f"amqp://orders:{SECRET}@broker"})


@CONFIGURING.add("host and port in one", "host", fix='write host = "broker" and port = 61613')
def _(_: Stage) -> None:
    StompProvider("server", "broker:61613")


@CONFIGURING.add("an empty host", "EVENTING_AMQP__HOST", "amqp.host", fix="write the broker's name or address")
def _(stage: Stage) -> None:
    stage.environ(EVENTING_AMQP__HOST="")
    configure(provider="amqp")


@CONFIGURING.add("several hosts in one", "host", fix="the others to failover")
def _(_: Stage) -> None:
    AMQProvider("server", "broker-1,broker-2")


@CONFIGURING.add("a URL in failover", "failover", fix='write "backup:61616"')
def _(_: Stage) -> None:
    AMQProvider("server", failover=(f"amqp://orders:{SECRET}@backup:61616",))


@CONFIGURING.add("a password without a user", "password", fix="set user as well")
def _(_: Stage) -> None:
    AMQProvider("server", "broker", password=SECRET)


@CONFIGURING.add("a password and a file of it", "password_file", fix="remove one of them")
def _(_: Stage) -> None:
    AMQProvider("server", "broker", user="orders", password=SECRET, password_file="secret.txt")


@CONFIGURING.add("a CA without TLS", "ca_file", fix="set tls = true")
def _(_: Stage) -> None:
    AMQProvider("server", "broker", ca_file="ca.pem")


@CONFIGURING.add("a queue name without its listener", "queue_name", "'{event}'", fix="must contain {listener}")
def _(_: Stage) -> None:
    AMQProvider("server", "broker", queue_name="{event}")


@CONFIGURING.add("RabbitMQ with a queue name of its own", "queue_name", "RabbitMQ", fix='set "{event}.{listener}"')
def _(_: Stage) -> None:
    StompProvider("server", "broker", broker="rabbitmq", queue_name="{listener}")


@CONFIGURING.add("a port beyond all", "port", fix="less than or equal to 65535")
def _(_: Stage) -> None:
    AMQProvider("server", "broker", 700_000)


@CONFIGURING.add("a server name with white space", "server_name", fix="Choose another one")
def _(_: Stage) -> None:
    configure(server_name="orders 1")


@CONFIGURING.add("a file that isn't there", "'/etc/eventing-nowhere.toml'", fix="check it")
def _(_: Stage) -> None:
    configure("/etc/eventing-nowhere.toml")


@CONFIGURING.add("TOML that isn't any", "eventing.toml", "line 2", fix="Correct that line")
def _(stage: Stage) -> None:
    stage.write("workers = 4\nserver_name = orders\n")
    configure()


@CONFIGURING.add("a table for all settings", "eventing.toml", "'eventing'", fix="remove this table's header")
def _(stage: Stage) -> None:
    stage.write("[eventing]\nworkers = 4\n")
    configure()


@CONFIGURING.add("pyproject's table in eventing.toml", "eventing.toml", "'tool'", fix="remove this table's header")
def _(stage: Stage) -> None:
    stage.write("[tool.eventing]\nworkers = 4\n")
    configure()


@CONFIGURING.add("a host in place of a table", "eventing.toml", "amqp", fix="write [amqp] above its settings")
def _(stage: Stage) -> None:
    stage.write('provider = "amqp"\namqp = "broker"\n')
    configure()


@CONFIGURING.add("a number of retries in place of a table", "retry", fix="write [retry] above its settings")
def _(_: Stage) -> None:
    configure(retry=5)


@CONFIGURING.add("fatal errors in a file", "eventing.toml", "'retry.fatal'", fix="Retry(fatal=(ValueError,))")
def _(stage: Stage) -> None:
    stage.write('provider = "memory"\n[retry]\nfatal = ["ValueError"]\n')
    configure()


@CONFIGURING.add("settings in place of a path", "dict", fix='from_config(provider="amqp"')
def _(_: Stage) -> None:
    EventManager.from_config({"provider": "memory"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@CONFIGURING.add(
    "a pyproject without the table", "pyproject.toml", "[tool.eventing]", fix="add it, or name another file"
)
def _(stage: Stage) -> None:
    stage.write("[project]\nname = 'x'\n", "pyproject.toml")
    configure("pyproject.toml")


@CONFIGURING.add("an unknown way with events that nobody takes", "unrouted", fix="'warn', 'error' or 'ignore'")
def _(_: Stage) -> None:
    configure(unrouted="drop")


@CONFIGURING.add("an option that isn't one", "Options", "threads", fix="did you mean 'workers'?")
def _(_: Stage) -> None:
    Options(threads=4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@CONFIGURING.add("a provider's class in place of an object", "MemoryProvider", fix="Create one: MemoryProvider(...)")
def _(_: Stage) -> None:
    EventManager(MemoryProvider)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@CONFIGURING.add("a provider's name in place of an object", "provider", fix="EventManager.from_config")
def _(_: Stage) -> None:
    EventManager("amqp")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@CONFIGURING.add("a file for a provider that is ready", "EventingModule", fix="Remove one of them")
def _(_: Stage) -> None:
    EventingModule("eventing.toml", provider=MemoryProvider("server"))
