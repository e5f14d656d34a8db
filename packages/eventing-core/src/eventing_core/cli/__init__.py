"""The command line, ``eventing``. Needs ``eventing-core[cli]``."""

from eventing_core.cli._main import main

__all__ = ["main"]
