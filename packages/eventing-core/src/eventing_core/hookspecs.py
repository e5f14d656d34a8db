"""The hooks that a plugin can implement.

A *provider* plugin is a module named in the entry-point group ``eventing.providers``; it implements
`eventing_provider`. Any other plugin is named in the group ``eventing.plugins``.
"""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from eventing_core.declare._pipeline import EnvelopePipeline
from eventing_core.provider import ProviderSpec

__all__ = ["PROJECT", "eventing_pipelines", "eventing_provider", "hookimpl", "hookspec"]

PROJECT = "eventing"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec(firstresult=True)
def eventing_provider() -> ProviderSpec | None:
    """Offer a provider. Must not import the driver."""


@hookspec
def eventing_pipelines() -> Sequence[EnvelopePipeline]:
    """Offer pipelines that wrap every send and every call of a listener.

    Called once for each manager. ``@envelope_pipeline(order=...)`` of their classes determines their order.
    """
    return ()
