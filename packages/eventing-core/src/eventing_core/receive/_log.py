"""Log lines about a listener's deliveries. None of them raises, whatever logging handlers and exceptions do."""

from __future__ import annotations

import contextlib
import logging
from types import TracebackType

from eventing_core.errors import DecodeError
from eventing_core.provider import Delivery
from eventing_core.receive._copies import NEXT_STEPS, Copies
from eventing_core.receive._facts import name_of
from eventing_core.receive.machine._actions import Fault, Report, Rules
from eventing_core.runtime._log_words import describe_error, traceback_of

_log = logging.getLogger("eventing")

#: A logging handler, or the class of a listener's own exception while it is formatted, may raise anything.
quietly = contextlib.suppress(BaseException)


class Reporter:
    """Logs what a machine reports."""

    def __init__(self, label: str, rules: Rules, copies: Copies) -> None:
        self._label = label
        self._rules = rules
        self._copies = copies

    def report(self, report: Report[Delivery]) -> None:
        """Log it."""
        with quietly:
            getattr(self, f"_{report.notice.name.lower()}")(report)

    def _retry(self, report: Report[Delivery]) -> None:
        if report.attempts and report.fault is not None:
            # The last attempt may be minutes away: what is wrong is said with the first one.
            with_trace = report.first or _log.isEnabledFor(logging.DEBUG)
            _log.warning(
                "%s: attempt %d of %d of event %s failed, the next in %.1f s: %s",
                self._label, report.attempts, self._rules.max_attempts, name_of(report.event), report.wait,
                _text(report.fault), exc_info=_trace(report.fault) if with_trace else None,
            )  # fmt: skip

    def _dead_letter(self, report: Report[Delivery]) -> None:
        reason = report.reason.value if report.reason is not None else ""
        decodes = report.fault is not None and not issubclass(type(report.fault.cause), DecodeError)
        _log.error(
            "%s: event %s goes to the dead-letter queue %s as %s (attempts: %d); %s: %s",
            self._label, name_of(report.event), self._copies.dead_letters, reason, report.attempts,
            NEXT_STEPS.get(reason, ""), _text(report.fault), exc_info=_trace(report.fault) if decodes else None,
        )  # fmt: skip

    def _copy_refused(self, report: Report[Delivery]) -> None:
        _log.error(
            "%s: a copy of event %s can't be stored, the next try in %.1f s; the original stays with the broker: %s",
            self._label, name_of(report.event), report.wait, report.error,
        )  # fmt: skip

    def _copy_waived(self, report: Report[Delivery]) -> None:
        _log.warning(
            "%s: the broker can't store a retry copy of event %s, which waits in this process instead: %s",
            self._label, name_of(report.event), report.error,
        )  # fmt: skip

    def _many_rejected(self, report: Report[Delivery]) -> None:
        _log.error(
            "%s: many events within a minute are rejected or can't be decoded; each goes to the dead-letter queue %s, "
            "last event %s: %s",
            self._label, self._copies.dead_letters, name_of(report.event), _text(report.fault),
        )  # fmt: skip

    def _paused(self, report: Report[Delivery]) -> None:
        _log.error(
            "%s: paused, since almost everything fails; it probes in %.0f s, and then less often, until an event "
            "succeeds: %s",
            self._label, report.wait, _text(report.fault), exc_info=_trace(report.fault) if report.first else None,
        )  # fmt: skip

    def _resumed(self, report: Report[Delivery]) -> None:
        del report
        _log.warning("%s: consumes again", self._label)

    def _suspect(self, report: Report[Delivery]) -> None:
        _log.warning(
            "%s: event %s was delivered several times and never settled; it runs alone, after all others", self._label,
            name_of(report.event),
        )  # fmt: skip


def _text(fault: Fault | None) -> str:
    if fault is None or not isinstance(fault.cause, BaseException):
        return "delivered again and again and never settled: handling it seems to kill the process"
    return describe_error(fault.cause)


def _trace(fault: Fault | None) -> tuple[type[BaseException], BaseException, TracebackType | None] | None:
    return traceback_of(fault.cause) if fault is not None and isinstance(fault.cause, BaseException) else None
