"""The conformance kit: tests that a provider passes. Needs ``eventing-core[testing]``."""

import pytest

# Before the modules are imported: so that their assertions, too, show the values.
for _module in (
    "_capabilities",
    "_delivery",
    "_failures",
    "_fanout",
    "_gone",
    "_kit",
    "_lifecycle",
    "_network",
    "_outage",
    "_probe",
    "_refusal",
    "_restart",
    "_transport",
):
    pytest.register_assert_rewrite(f"{__name__}.{_module}")

from eventing_core.testing._conformance import ProviderConformance  # noqa: E402 (see above)
from eventing_core.testing._network import Network  # noqa: E402 (see above)
from eventing_core.testing._probe import Confirmations, Log, Recorder  # noqa: E402 (see above)

__all__ = ["Confirmations", "Log", "Network", "ProviderConformance", "Recorder"]
