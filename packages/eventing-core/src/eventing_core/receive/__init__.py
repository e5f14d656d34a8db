"""How deliveries are handled: attempts, retries, dead letters, settlement.

Private. Imports `send`, `runtime` and the rooms below; never `manager`.
"""

__all__: list[str] = []
