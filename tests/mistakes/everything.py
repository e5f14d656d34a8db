"""All mistakes, in the order in which they are read."""

from __future__ import annotations

from tests.mistakes.configuring import CONFIGURING
from tests.mistakes.connecting import CONNECTING
from tests.mistakes.declaring import DECLARING
from tests.mistakes.living import LIVING

MISTAKES = [mistake for group in (DECLARING, CONFIGURING, LIVING, CONNECTING) for mistake in group.mistakes]
