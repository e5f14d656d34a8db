"""Pipelines: created once for each manager, and combined around each send and each attempt.

Private. Imports `declare` and `errors`.
"""

__all__: list[str] = []
