"""Settings that a server of the stories has for a while."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sip.scene import Stack


@contextlib.contextmanager
def agi_settings(stack: Stack, **changes: object) -> Iterator[None]:
    """FastAGI runs with other settings inside the block."""
    path = stack.settings.etc / "agi.json"
    usual = path.read_text(encoding="utf-8")
    path.write_text(json.dumps(json.loads(usual) | changes), encoding="utf-8")
    try:
        stack.restart("agi")
        yield
    finally:
        path.write_text(usual, encoding="utf-8")
        stack.restart("agi")
