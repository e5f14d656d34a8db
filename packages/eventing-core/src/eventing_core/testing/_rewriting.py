"""Has pytest show the values in the kit's assertions. Imported before the modules that hold them."""

import pytest

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
    pytest.register_assert_rewrite(f"{__package__}.{_module}")
