"""Why Artemis refuses a frame, where it doesn't say so.

Over STOMP it mostly answers "Error sending message" or "Error creating subscription", and ends the connection. So the
next connection asks its management which roles have the right that is probably missing, and which roles the user has.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable
from typing import Any, Literal, cast

from eventing_core.provider.artemis import Management, Reply, missing_right, of_right

_log = logging.getLogger("eventing.stomp")

Right = Literal["send", "consume"]


class Rights:
    """What is known of one user's rights, over the generations. Runs on the I/O thread.

    Args:
        user: whose; empty for guests, of whom management tells nothing.
    """

    def __init__(self, user: str) -> None:
        self._user = user
        #: Whether the user has it.
        self._known: dict[tuple[Right, str], bool] = {}
        self._to_ask: set[tuple[Right, str]] = set()

    def why(self, right: Right, address: str, text: str) -> str:
        """Why a frame was refused, by what the broker said, and what is known beside."""
        named = missing_right(text)
        if named:
            return named
        has = self._known.get((right, address))
        if has is None:
            self._to_ask.add((right, address))
            return (
                f"refused by the broker ({text}), which doesn't say why: probably the user {self._user!r} lacks the "
                f"permission {right!r} on {address!r}. Grant it to one of the user's roles, or see the broker's log"
            )
        if not has:
            return f"{of_right(self._user, right, address)} ({text})"
        return f"refused by the broker ({text}), although the user has the permission {right}: see the broker's log"

    def ask(self, management: Management) -> None:
        """Ask about all that was refused without a reason, in a new generation."""
        asked, self._to_ask = self._to_ask, set()
        if not self._user or management.denied:
            return
        for right, address in sorted(asked):
            self._ask(management, right, address)

    def _ask(self, management: Management, right: Right, address: str) -> None:
        def told_roles(roles: set[str]) -> None:
            def told_rights(reply: Reply) -> None:
                rows = _rows(reply)
                if rows:
                    having = {str(row.get("name")) for row in rows if row.get(right) is True}
                    self._learn(right, address, has=bool(having & roles))

            management.call("broker", "getRolesAsJSON", (address,), told_rights)

        management.call("broker", "listUser", (self._user,), self._with_roles(told_roles))

    def _with_roles(self, then: Callable[[set[str]], None]) -> Callable[[Reply], None]:
        def told(reply: Reply) -> None:
            roles = {
                str(role)
                for row in _rows(reply)
                if row.get("username") == self._user
                for role in cast("list[Any]", row.get("roles") or ())
            }
            # Users of a directory aren't listed.
            if roles:
                then(roles)

        return told

    def _learn(self, right: Right, address: str, *, has: bool) -> None:
        self._known[right, address] = has
        if not has:
            with contextlib.suppress(Exception):
                _log.error("%s: %s", address, of_right(self._user, right, address))


def _rows(reply: Reply) -> list[dict[str, Any]]:
    """The objects of an answer that is a list as JSON."""
    if reply.kind != "done" or not isinstance(reply.value, str):
        return []
    try:
        rows: Any = json.loads(reply.value)
    except ValueError:
        return []
    found: list[Any] = rows if isinstance(rows, list) else []
    return [row for row in found if isinstance(row, dict)]
