"""`EventManager`: its life, the listeners that it runs, and the user's calls.

Private. Imports every room below; only `cli`, `testing` and other public modules import it.
"""

__all__: list[str] = []
