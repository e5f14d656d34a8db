"""Events to bytes and back: JSON that arrives equal to what was sent, or an error.

Private. Imports `declare` and `errors`.
"""

__all__: list[str] = []
