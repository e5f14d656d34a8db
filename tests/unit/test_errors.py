from __future__ import annotations

import copy
import inspect
import re

import pytest

import eventing_core
from eventing_core import errors


def classes() -> dict[str, type[BaseException]]:
    return {name: cls for name, cls in vars(errors).items() if inspect.isclass(cls) and issubclass(cls, BaseException)}


def drawn() -> dict[str, str]:
    """Name -> base, as the tree in the module's docstring has it."""
    bases: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^    ([│├└─ ]*)(\w+Error)\b", line)
        if found:
            depth = len(found[1]) // 4
            path[depth:] = [found[2]]
            bases[found[2]] = path[depth - 1] if depth else "Exception"
    return bases


def test_the_tree_is_the_one_that_is_drawn():
    assert {name: cls.__bases__[0].__name__ for name, cls in classes().items()} == drawn()


def test_further_bases_are_drawn_too():
    text = errors.__doc__ or ""
    noted = dict(re.findall(r"(\w+Error) +\(also an? (\w+)\)", text))
    for name, base in noted.items():
        assert base in {cls.__name__ for cls in classes()[name].__mro__}, name
    timeouts = {name for name, cls in classes().items() if issubclass(cls, TimeoutError)}
    assert {name for name, base in noted.items() if base == "TimeoutError"} == timeouts


def test_all_are_exported_at_the_top():
    assert set(classes()) <= set(eventing_core.__all__)


@pytest.mark.parametrize("cls", classes().values())
def test_every_error_is_documented(cls: type[BaseException]):
    assert "__doc__" in vars(cls)
    assert (cls.__doc__ or "").strip()


def test_send_errors_say_whether_the_send_is_in_doubt():
    assert errors.SendTimeoutError("late").in_doubt is False
    error = errors.SendTimeoutError("late", in_doubt=True)
    assert error.in_doubt is True
    assert str(error) == "late"


def test_send_events_error_lists_the_failures():
    failures = [(3, errors.SendRejectedError("full")), (7, errors.ConnectionLostError("gone", in_doubt=True))]
    error = errors.SendEventsError(failures, 10)
    assert error.failures == tuple(failures)
    assert str(error) == "2 of 10 events failed; the first is number 3: SendRejectedError: full"
    assert error.in_doubt is True
    assert errors.SendEventsError(failures[:1], 10).in_doubt is False


def test_a_missing_header_reads_well():
    assert str(errors.HeaderNotFoundError("session")) == "no header 'session': pass a default if it may be missing"
    assert str(errors.HeaderNotFoundError()) == "no such header"


@pytest.mark.parametrize(
    "error",
    [
        errors.SendTimeoutError("late", in_doubt=True),
        errors.SendEventsError([(3, errors.SendRejectedError("full"))], 10),
        errors.HeaderNotFoundError("session"),
    ],
)
def test_errors_can_be_copied_and_pickled(error: Exception):
    again = copy.deepcopy(error)  # by the same protocol as pickle
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert getattr(again, "in_doubt", None) == getattr(error, "in_doubt", None)
