"""Which rows of `kamailio_changes` are done, kept on this host's disk: contacts outlive a restart, so this has to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kemi_routes import kept_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from KSR import Ksr

_NAME = "changes-done.json"


class Done(NamedTuple):
    """The highest id that is done (0: none), and the rows around it that are done, by id: what each names."""

    last: int
    rows: dict[int, str]


class DoneChanges:
    """The file, beside that of emergency calls; one process writes it."""

    def __init__(self, emergency_file: str) -> None:
        self._path = Path(emergency_file).with_name(_NAME)
        self._unwritten = False

    def read(self, ksr: Ksr) -> Done | None:
        """Return what was kept last; None when nothing was, or it cannot be read."""
        try:
            told = json.loads(self._path.read_text(encoding="utf-8"))
            return Done(int(told["last"]), {int(identifier): str(name) for identifier, name in told["rows"]})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            ksr.err(f"changes that are done: {self._path} cannot be read ({error!r}), so all are done again\n")
            return None

    def keep(self, ksr: Ksr, last: int, rows: Mapping[int, str]) -> None:
        """Write down what is done. When that fails it is said once, and a restart does again what the file lacks."""
        text = json.dumps({"last": last, "rows": list(rows.items())}, ensure_ascii=False)
        try:
            kept_files.replace_text(self._path, text)
        except OSError as error:
            if not self._unwritten:
                ksr.err(
                    f"changes that are done cannot be kept: {error}; give Kamailio's user the right to write there\n"
                )
            self._unwritten = True
        else:
            self._unwritten = False
