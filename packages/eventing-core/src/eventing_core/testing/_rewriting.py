"""Has pytest show the values in the kit's assertions. Imported before the modules that hold them."""

import pytest

for _module in (
    "_between",
    "_capabilities",
    "_crashes",
    "_delivery",
    "_extremes",
    "_failures",
    "_fanout",
    "_gone",
    "_kit",
    "_life",
    "_lifecycle",
    "_network",
    "_outage",
    "_probe",
    "_refusal",
    "_restart",
    "_timing",
    "_transport",
):
    pytest.register_assert_rewrite(f"{__package__}.{_module}")
