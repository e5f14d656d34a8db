"""The outcome of each delivery, decided by a pure machine: without threads, locks, clocks, sockets, logs or randomness.

Private. Imports from the core only `eventing_core.provider`; the shells in `eventing_core.receive` drive it.
"""

__all__: list[str] = []
