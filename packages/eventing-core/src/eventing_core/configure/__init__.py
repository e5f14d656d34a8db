"""Settings and plugins: their sources, their checks, and the providers that are installed.

Private. Imports `hookspecs`, `provider`, `declare` and `errors`.
"""

__all__: list[str] = []
