"""All mistakes, in the order in which they are read."""

from __future__ import annotations

from tests.mistakes.configuring import CONFIGURING
from tests.mistakes.connecting import CONNECTING
from tests.mistakes.declaring import DECLARING
from tests.mistakes.listening import LISTENING
from tests.mistakes.living import LIVING
from tests.mistakes.receiving import RECEIVING
from tests.mistakes.sending import SENDING

MISTAKES = [
    mistake
    for group in (DECLARING, LISTENING, CONFIGURING, LIVING, SENDING, RECEIVING, CONNECTING)
    for mistake in group.mistakes
]
