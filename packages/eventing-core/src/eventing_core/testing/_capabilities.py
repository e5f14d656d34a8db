"""Conformance: what the provider says of itself is pinned, and what it can't do is refused."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from eventing_core.provider import SPI_VERSION
from eventing_core.testing._kit import Kit


class CapabilityTests:
    """See the module.

    Attributes:
        capabilities_file: JSON, ``{<provider's name>: {<capability>: <value>}}``: the reviewed snapshot.
    """

    capabilities_file: ClassVar[Path | None] = None

    def test_capabilities_are_as_reviewed(self, kit: Kit) -> None:
        """Declaring less makes the kit ask for less: so that is nothing to change in passing."""
        assert self.capabilities_file is not None, "name the reviewed snapshot: capabilities_file = Path(...)"
        pinned = json.loads(self.capabilities_file.read_text(encoding="utf-8"))
        declared = asdict(kit.capabilities)
        assert kit.provider_name in pinned, f"{self.capabilities_file} has nothing of {kit.provider_name!r}: {declared}"
        reviewed = pinned[kit.provider_name]
        differences = [
            f"{name}: declared {declared.get(name, 'nothing')!r}, reviewed {reviewed.get(name, 'nothing')!r}"
            for name in sorted({*declared, *reviewed})
            if name not in declared or name not in reviewed or declared[name] != reviewed[name]
        ]
        assert not differences, f"capabilities of {kit.provider_name!r} differ from the reviewed ones: {differences}"

    def test_durable_is_kept_or_refused(self, kit: Kit) -> None:
        """A durable event's listener starts under ``strict`` where the provider can, and is refused otherwise."""
        self._check(kit, "durable", "durable", durable=True)

    def test_per_process_is_kept_or_refused(self, kit: Kit) -> None:
        """The same for a listener with a queue per process."""
        self._check(kit, "per_process", "per_process", per_process=True)

    def test_ordered_is_kept_or_refused(self, kit: Kit) -> None:
        """The same for an ordered listener."""
        self._check(kit, "ordered", "exclusive", ordered=True)

    def test_the_plugin_is_for_this_interface(self, kit: Kit) -> None:
        """Name and version as the entry point and the core have them."""
        assert kit.spec.spi_version == SPI_VERSION
        provider = kit.provider()
        assert provider.name == kit.provider_name, "a provider has the name of its plugin"

    def _check(self, kit: Kit, what: str, capability: str, *, durable: bool = False, **settings: Any) -> None:
        listener = kit.listener(kit.event(durable=durable), lambda _: None, **settings)
        if getattr(kit.capabilities, capability):
            kit.manager(listener, strict=True)
        else:
            kit.assert_refused(listener, what, capability)
