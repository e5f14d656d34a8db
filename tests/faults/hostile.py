"""The broker's address settings would empty queues, and listeners are away again and again."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from tests.faults.stage import EVENT, Stage
from tests.faults.terms import Figures, Terms
from tests.support.proxy import Proxy
from tests.support.waiting import until

TITLE = "Hostile address settings, and the path of the listeners is cut"

EVENTS, CUTS = 12_000, 40

_CORE = "{urn:activemq:core}"

#: Of the event's address, and of its dead letters'. Each alone loses or stops events on a queue that takes it over.
SETTINGS = {
    "default-purge-on-no-consumers": "true",
    "default-ring-size": "10",
    "default-last-value-queue": "true",
    "default-non-destructive": "true",
    "default-max-consumers": "1",
    "default-exclusive-queue": "true",
    "auto-delete-created-queues": "true",
    "auto-delete-queues-message-count": "-1",
    "default-consumers-before-dispatch": "2",
}

#: Seconds between two sends.
PACE = 0.002

#: So many events are sent while nobody can consume.
AWAY = 60

#: So many fail always, and end as dead letters: with one more in a row the listener would pause.
FAILING = 4

#: Of an event that fails. By default there are more, which take a minute or two.
ATTEMPTS = 3


def _be_hostile(core: ET.Element) -> None:
    known = core.find(f"{_CORE}address-settings")
    assert known is not None
    for match in (EVENT, "Listener0.dead"):
        added = ET.SubElement(known, f"{_CORE}address-setting", {"match": match})
        for name, value in SETTINGS.items():
            ET.SubElement(added, _CORE + name).text = value


def run(terms: Terms) -> Figures:
    """Send on a path that holds; cut that of the listeners, for a moment, or until some events have come meanwhile."""
    count, cuts = terms.count(EVENTS, 1_500), terms.count(CUTS, 6)
    every = -(-count // FAILING)
    failing = {*range(every - 1, count, every)}
    with Stage(terms, edit=_be_hostile) as stage, Proxy(stage.broker.port) as proxy:
        words = ("--failing-every", str(every), "--attempts", str(ATTEMPTS))
        worker = stage.listen("listener", *words, port=proxy.port)
        sender = stage.send(count, pace=PACE)
        while_away = 0
        for at, moment in enumerate(terms.moments(cuts, count - len(failing))):
            until(
                lambda moment=moment: stage.handled_count() >= moment,  # type: ignore[misc]
                lambda: f"{stage.handled_count()} handled; the log:\n{worker.log[-5000:]}",
                120,
            )
            if at % 2:
                assert proxy.reset(), "nothing was cut"
                continue
            proxy.refuse()
            before = len(stage.confirmed)
            until(
                lambda before=before: len(stage.confirmed) >= min(before + AWAY, count),  # type: ignore[misc]
                "events are sent meanwhile",
                120,
            )
            while_away += len(stage.confirmed) - before
            proxy.accept()
        sender.expect("sent", 240)
        sender.end()
        stage.drain()
        until(lambda: stage.dead_letters() >= len(failing), lambda: f"{stage.dead_letters()} dead letters")
        worker.stop()
        figures = stage.account(failing)
    assert figures["events confirmed"] == count
    assert while_away > 0, "nothing was sent while nobody consumed"
    return {"cuts": cuts, "events sent while nobody consumed": while_away, **figures}
