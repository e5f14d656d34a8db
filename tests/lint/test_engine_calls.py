"""Proton's functions take raw pointers, so one module alone calls them, and one makes them callable (decision 1)."""

from __future__ import annotations

from tests.support.commands import ROOT

_FOLDER = ROOT / "packages/eventing-amqp/src/eventing_amqp"
_ALLOWED = {"_engine.py", "_proton.py"}


def test_one_module_alone_has_pointers_of_protons():
    users = {path.name for path in _FOLDER.rglob("*.py") if "pn_" in path.read_text(encoding="utf-8")}
    assert users == _ALLOWED
