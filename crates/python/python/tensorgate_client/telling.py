"""What a node is told of its policy: each change once, and what was refused at a bounded rate."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from tensorgate_client import Policy

if TYPE_CHECKING:
    from tensorgate_client._native import State

# A refusal like the last is told once in so long.
SECOND_S = 1.0


class Callbacks(NamedTuple):
    """Those of `PolicySubscriber`."""

    on_policy: Callable[[Policy], None] | None
    on_stale: Callable[[Policy], None] | None
    on_revoked: Callable[[Policy], None] | None
    on_rejected: Callable[[Exception], None] | None


class Telling:
    """Tells the log and the callbacks. What is told is remembered first: a callback may raise."""

    def __init__(self, gate: str, logger: Any, callbacks: Callbacks) -> None:
        self._gate, self._logger, self._callbacks = gate, logger, callbacks
        self._acted_on: Policy | None = None
        self._revoked: Policy | None = None
        self._last_refusal: tuple[str, float] = ("", 0.0)

    def refuse(self, error: Exception) -> None:
        """Tells why something was not taken."""
        now, (last, then) = time.monotonic(), self._last_refusal
        if str(error) == last and now - then < SECOND_S:
            return
        self._last_refusal = (str(error), now)
        self._logger.warning(f"{self._gate}: {error}")
        if self._callbacks.on_rejected:
            self._callbacks.on_rejected(error)

    def report(self, state: State, policy: Policy | None) -> None:
        """Tells what has changed since the last time."""
        before = self._acted_on
        self._acted_on = policy if state == "active" else None
        if policy is not None and state == "active" and policy is not before:
            self._logger.info(f"{self._gate}: acting on {_name(policy)}")
            _call(self._callbacks.on_policy, policy)
        elif policy is not None and state == "revoked" and policy is not self._revoked:
            self._revoked = policy
            self._logger.error(f"{self._gate}: {_name(policy)} was revoked")
            _call(self._callbacks.on_revoked, policy)
        elif before is not None and state not in ("active", "revoked"):
            self._logger.warning(f"{self._gate}: {_name(before)} may not be acted on any longer")
            _call(self._callbacks.on_stale, before)


def _call(callback: Callable[[Policy], None] | None, policy: Policy) -> None:
    if callback:
        callback(policy)


def _name(policy: Policy) -> str:
    return f"{policy.repo}@{policy.revision[:12]}, release {policy.sequence}"
