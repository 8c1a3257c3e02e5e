"""The workers' common file: made by whoever comes first."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from agi_apps.local_store import LocalStore

if TYPE_CHECKING:
    from pathlib import Path


def test_workers_that_start_together_make_the_file_together(tmp_path: Path) -> None:
    for turn in range(20):
        together = threading.Barrier(4)

        def start(turn: int = turn, together: threading.Barrier = together) -> None:
            together.wait()
            LocalStore(str(tmp_path / f"{turn}.db")).close()

        with ThreadPoolExecutor(4) as pool:
            for started in [pool.submit(start) for _ in range(4)]:
                started.result()
