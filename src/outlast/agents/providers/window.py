"""What is used of a provider's minute: which requests may be sent now, and when the next one may.

In no minute more is sent than the limits allow; and what one minute has is spread over it, so that
a request which comes now does not wait until those of a minute ago are forgotten. The spreading is
the generic cell rate algorithm (ITU-T I.371), once for requests and once for tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from outlast._engine.providers import limits
from outlast._engine.providers.declared import ProviderLimit
from outlast._engine.providers.queue import Admitted, Correction


@dataclass(slots=True)
class Used:
    """What was sent in one second."""

    second: int
    requests: int = 0
    tokens: int = 0


@dataclass
class WindowState:
    """What is kept. Times are in seconds since 1970.

    `used` are the seconds of the last minute; the last request was sent at `sent_at`.
    `requests_until` and `tokens_until`: what was sent is what the limits give until then;
    `paced_by` are these limits.
    """

    used: list[Used] = field(default_factory=list[Used])
    requests_until: float = 0.0
    tokens_until: float = 0.0
    held_until: float = 0.0
    paced_by: tuple[int | None, int | None] = (None, None)
    sent_at: float = 0.0

    def admit(
        self,
        limit: ProviderLimit,
        tokens: Sequence[int],
        corrections: Sequence[Correction],
        now: float,
        *,
        send_by: float,
    ) -> Admitted:
        """Record the first of the requests: as many as may be sent now, and until `send_by`."""
        if self.paced_by != (limit.rpm, limit.tpm):
            self.paced_by = (limit.rpm, limit.tpm)
            self.requests_until = self.tokens_until = 0.0
        self._correct(limit, corrections)
        self._forget(now)
        second, count = int(send_by), 0
        next_at = now
        for needed in tokens:
            next_at = self._next_at(limit, needed, now)
            if next_at > now:
                break
            second = self._send(limit, needed, second, now)
            count += 1
        requests = sum(used.requests for used in self.used)
        total = sum(used.tokens for used in self.used)
        return Admitted(count, send_by, second, next_at, self.held_until, requests, total)

    def hold(self, until: float, now: float) -> None:
        """Send nothing before that time."""
        self.held_until = max(self.held_until, min(until, now + limits.HOLD_SECONDS_MAX))

    def _next_at(self, limit: ProviderLimit, tokens: int, now: float) -> float:
        """Return when a request with so many tokens may be sent; not after `now`: at once."""
        at = max(now, self.held_until)
        if limit.rpm:
            at = max(at, self._paced(limit.rpm, now))
        if limit.tpm:
            at = max(at, self.tokens_until - limits.PACE_SECONDS)
        requests = sum(used.requests for used in self.used)
        total = sum(used.tokens for used in self.used)
        for used in self.used:
            fits = limit.rpm is None or requests + 1 <= limit.rpm
            if fits and (limit.tpm is None or total <= 0 or total + tokens <= limit.tpm):
                break
            requests, total = requests - used.requests, total - used.tokens
            at = max(at, used.second + 1.0 + limits.WINDOW_SECONDS)
        return at

    def _paced(self, rpm: int, now: float) -> float:
        """Return when the next request may be sent, so that what is left lasts for the minute."""
        at_once = max(limits.PACE_SECONDS, limits.PACE_REQUESTS * 60 / rpm)
        at = self.requests_until + 60 / rpm - at_once
        count = sum(used.requests for used in self.used)
        if self.used and at_once * rpm / 60 <= count < rpm:
            until = self.used[0].second + 1.0 + limits.WINDOW_SECONDS
            at = max(at, self.sent_at + max(0.0, until - now) / (rpm - count))
        return at

    def _send(self, limit: ProviderLimit, tokens: int, second: int, now: float) -> int:
        """Record a request; return the second that it counts in, which may be a later one."""
        if not self.used or self.used[-1].second < second:
            self.used.append(Used(second))
        self.used[-1].requests += 1
        self.sent_at = now
        self.used[-1].tokens += tokens
        if limit.rpm:
            self.requests_until = max(self.requests_until, now) + 60 / limit.rpm
        if limit.tpm:
            self.tokens_until = max(self.tokens_until, now) + 60 * tokens / limit.tpm
        return self.used[-1].second

    def _correct(self, limit: ProviderLimit, corrections: Sequence[Correction]) -> None:
        """Count what requests have used in truth; of seconds that are over nothing is kept."""
        seconds = {used.second: used for used in self.used}
        for correction in corrections:
            used = seconds.get(correction.second)
            if used is not None:
                used.requests += correction.requests
                used.tokens += correction.tokens
                if limit.rpm:
                    self.requests_until += 60 * correction.requests / limit.rpm
                if limit.tpm:
                    self.tokens_until += 60 * correction.tokens / limit.tpm

    def _forget(self, now: float) -> None:
        """Forget what is over. What a clock that was set back has in the future, was sent now."""
        first, last = now - 1.0 - limits.WINDOW_SECONDS, int(now + limits.ANSWER_SECONDS[1]) + 1
        self.used = [used for used in self.used if used.second > first]
        ahead = [used for used in self.used if used.second > last]
        if ahead:
            kept = [used for used in self.used if used.second <= last]
            requests, tokens = sum(u.requests for u in ahead), sum(u.tokens for u in ahead)
            self.used = [*kept, Used(last, requests, tokens)]
        # No debt is longer than a minute, and no hold than the longest.
        self.sent_at = min(self.sent_at, now)
        self.requests_until = min(self.requests_until, now + 60)
        self.tokens_until = min(self.tokens_until, now + 60)
        self.held_until = min(self.held_until, now + limits.HOLD_SECONDS_MAX)
