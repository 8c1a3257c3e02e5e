from __future__ import annotations

import os
from typing import TYPE_CHECKING

from crm_api.services.probe_recordings import DAY_MS, KEPT_DAYS, remove_old

if TYPE_CHECKING:
    from pathlib import Path


def test_recordings_are_kept_for_a_set_time(tmp_path: Path) -> None:
    now_s = 1_790_000_000
    ages = {
        "1-heard.wav": KEPT_DAYS * DAY_MS / 1000 + 1,
        "2-heard.wav": KEPT_DAYS * DAY_MS / 1000 - 1,
        "notes.txt": 10**9,
    }
    for name, age_s in ages.items():
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (now_s - age_s, now_s - age_s))
    assert remove_old(tmp_path, now_s * 1000) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["2-heard.wav", "notes.txt"]
