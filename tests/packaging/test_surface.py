"""What the packages show to their users."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

from tests.packaging.conftest import PACKAGES

#: Public modules: no part of their dotted name begins with an underscore.
MODULES = sorted(
    name
    for package in PACKAGES
    for name in [
        package.name.replace("-", "_"),
        *(
            module.name
            for module in pkgutil.walk_packages(
                importlib.import_module(package.name.replace("-", "_")).__path__, package.name.replace("-", "_") + "."
            )
        ),
    ]
    if not any(part.startswith("_") for part in name.split("."))
)


@pytest.fixture(params=MODULES)
def module(request: pytest.FixtureRequest) -> ModuleType:
    name: str = request.param
    return importlib.import_module(name)


def public_names(module: ModuleType) -> list[str]:
    if "__all__" in vars(module):
        return list(module.__all__)
    return [name for name, value in vars(module).items() if not name.startswith("_") and is_own(value, module)]


def is_own(value: object, module: ModuleType) -> bool:
    return getattr(value, "__module__", None) == module.__name__


def test_packages_list_their_names(module: ModuleType):
    if not hasattr(module, "__path__"):
        return
    assert len(module.__all__) == len(set(module.__all__))  # ruff sees to their order
    shown = {
        name
        for name in dir(module)  # some are imported when they are first asked for
        if not name.startswith("_") and not inspect.ismodule(getattr(module, name)) and name != "annotations"
    }
    assert shown == set(module.__all__)


def test_public_names_are_documented(module: ModuleType):
    assert (module.__doc__ or "").strip(), f"{module.__name__} has no docstring"
    for name in public_names(module):
        value = getattr(module, name)
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        assert "__doc__" in vars(value) or inspect.isfunction(value)
        assert (value.__doc__ or "").strip(), f"{module.__name__}.{name} has no docstring"
        if inspect.isclass(value) and value.__module__.startswith("eventing_"):
            undocumented = [
                member
                for member, function in vars(value).items()
                if not member.startswith("_") and is_method(function) and not inspect.getdoc(getattr(value, member))
            ]
            assert not undocumented, f"{module.__name__}.{name}: {undocumented}"


def is_method(value: object) -> bool:
    return inspect.isfunction(value) or isinstance(value, (property, classmethod, staticmethod))


@pytest.mark.parametrize("name", MODULES)
def test_importing_loads_no_driver(name: str):
    """Nor what is slow and only needed later. The injection module of a container may import that container."""
    late = {"proton", "cproton", "stomp"}
    if name in {"eventing_core", "eventing_core.provider", "eventing_core.memory"}:
        late |= {"injector", "pydantic_settings", "dishka", "svcs", "pytest"}
    code = f"import sys, {name}; print(*sorted({late!r} & set(sys.modules)))"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert loaded == []
