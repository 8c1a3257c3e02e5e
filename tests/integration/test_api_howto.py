"""The commands of docs/api.md are run as they stand there, in their order, against the running lab."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from lab.stack import Stack


def test_every_command_of_the_api_page_does_what_it_says(stack: Stack, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("the page says that its commands need curl")
    settings = stack.settings
    text = (settings.repository / "docs" / "api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 8
    script = "set -euo pipefail\n" + "\n".join(f"{block}\necho '\n----'" for block in blocks)
    assert "http://127.0.0.50:8080" in script
    assert "var/lab/town.json" in script
    here = script.replace("http://127.0.0.50:8080", settings.crm_url).replace(
        "var/lab/town.json", str(settings.town_file)
    )
    done = subprocess.run(["bash", "-c", here], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    told = done.stdout.split("\n----\n")
    assert done.returncode == 0, (done.stderr, told)
    assert len(told) == len(blocks) + 1
    # The page shows one problem, and that one alone.
    with_problems = [block for block, answer in zip(blocks, told, strict=False) if "urn:entryphone:problem" in answer]
    assert [("colour" in block) for block in with_problems] == [True], with_problems
    everything = done.stdout
    assert '"made":144' in everything
    assert re.search(r'"noun":"apartment".*"title":"12"', everything)
    assert '"made":{"residents":2,"residencies":2}' in everything
    assert '"dry_run":true,"changed":144,"unchanged":0,"failed":0' in everything
    assert "0013011116;" in everything  # a key that came as hexadecimal, exported as decimal
    handsets = re.findall(r'"account":"(h[a-z0-9]+)","kind":"handset"', everything)
    assert len(handsets) == 2
    assert len(set(handsets)) == 1
