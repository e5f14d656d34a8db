"""Sending: an event becomes a message, is handed to the provider, and is confirmed to the sender.

Private. Imports `runtime` and the rooms below; never `receive`.
"""

__all__: list[str] = []
