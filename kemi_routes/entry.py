"""What app_python3 loads: gets the routes, and keeps the old ones when new ones do not import.

A failed reload leaves app_python3 with a dangling handler and crashes every worker (cookbook 1.4), so nothing here may
raise after the first start. `app_python.reload` runs this file again; the package beside it is imported afresh.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import KSR

if TYPE_CHECKING:
    from kemi_routes.router import Router

_PACKAGE = "kemi_routes"
_handler: Router | None

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def _is_ours(name: str) -> bool:
    return name == _PACKAGE or name.startswith(_PACKAGE + ".")


def _load() -> Router:
    """Import the package afresh; put the old modules back when that fails."""
    old = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_ours(name)}
    previous: Router | None = globals().get("_handler")
    try:
        importlib.invalidate_caches()
        built: Router = importlib.import_module(_PACKAGE + ".router").build(KSR, first=previous is None)
    except BaseException:
        for name in [name for name in sys.modules if _is_ours(name)]:
            del sys.modules[name]
        sys.modules.update(old)
        why = traceback.format_exc().replace("\n", " | ")
        if previous is None:
            KSR.err(f"routes do not import, refusing to start: {why}\n")
            raise
        KSR.err(f"new routes do not import, keeping the old ones: {why}\n")
        return previous
    return built


def mod_init() -> Router:
    """Called by app_python3 before the fork and after each reload request."""
    global _handler  # noqa: PLW0603 - the module's dictionary is what survives importlib.reload()
    _handler = _load()
    return _handler
