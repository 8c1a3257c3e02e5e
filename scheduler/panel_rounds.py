"""Every few minutes all panels are looked for: a quiet one that works shows in its `last_seen_at_ms`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

from crm_api.adapters.registrar import RegistrarSilentError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from crm_api.services.panels_seen import PanelsSeen, Round

_log = structlog.get_logger("scheduler.panels")

FIRST_AFTER: Final = 0.1
"""Of the time between two rounds."""
ROUNDS_KEPT: Final = 3
"""So many rounds may fail before nobody is told what the last one has found."""


class LookForPanels:
    """Goes round all panels; for the first time early, yet when what was started with us may answer.

    Args:
        panels: asks and notes.
        every_s: from one beginning to the next.
        tell: says what a round has found, for the metrics; may raise one of `RedisErrors`.
    """

    name = "panels registered"

    def __init__(self, panels: PanelsSeen, every_s: float, tell: Callable[[Round], None]) -> None:
        self._panels = panels
        self._every_s = every_s
        self._tell = tell
        self._next_s = time.monotonic() + every_s * FIRST_AFTER
        self._silent = False

    def is_due(self) -> bool:
        """Say whether the next round is."""
        return time.monotonic() >= self._next_s

    def step(self, stopped: threading.Event) -> None:
        """Go round. One that fails is left: the next is tried when it is due."""
        self._next_s = time.monotonic() + self._every_s
        try:
            found = self._panels.go_round(stopped)
        except RegistrarSilentError as error:
            if not self._silent:
                _log.error("nobody tells which panels are registered; trying again", reason=error.detail)
            self._silent = True
            return
        if self._silent:
            _log.info("it is told again which panels are registered")
            self._silent = False
        if found is not None:
            self._tell(found)
