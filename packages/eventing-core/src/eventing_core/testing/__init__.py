"""Helpers for tests of services (`wait_idle`, `isolated_declarations`), and the conformance kit for providers.

The kit is a suite of tests that every provider must pass. It requires ``eventing-core[testing]``; the helpers don't.
"""

import importlib
import sys
import typing

from eventing_core.testing._idle import await_idle, wait_idle
from eventing_core.testing._isolation import isolated_declarations

if sys.modules.get("pytest"):  # before the kit's modules are imported: so that their assertions, too, show the values
    importlib.import_module(f"{__name__}._rewriting")

if typing.TYPE_CHECKING:
    from eventing_core.testing._conformance import ProviderConformance
    from eventing_core.testing._network import Network, ProxyNetwork
    from eventing_core.testing._probe import Confirmations, Log, Recorder
    from eventing_core.testing._proxy import Proxy

__all__ = [
    "Confirmations",
    "Log",
    "Network",
    "ProviderConformance",
    "Proxy",
    "ProxyNetwork",
    "Recorder",
    "await_idle",
    "isolated_declarations",
    "wait_idle",
]

#: The kit needs pytest. It is imported when it is first asked for.
_KIT = {
    "Confirmations": "_probe",
    "Log": "_probe",
    "Network": "_network",
    "ProviderConformance": "_conformance",
    "Proxy": "_proxy",
    "ProxyNetwork": "_network",
    "Recorder": "_probe",
}

if not typing.TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        module = _KIT.get(name)
        if module is None:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_KIT})
