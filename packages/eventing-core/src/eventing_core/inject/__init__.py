"""The application's container, which creates listeners and pipelines.

Private. Imports `errors` alone.
"""

__all__: list[str] = []
