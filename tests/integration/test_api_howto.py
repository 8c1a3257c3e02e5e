"""The commands of the pages that have some are run as they stand there, in their order, in the lab."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from lab.stack import Stack


def _run(stack: Stack, page: str, directory: Path) -> tuple[list[str], list[str]]:
    """Run the commands of a page; return its blocks, and what each has printed."""
    if shutil.which("curl") is None:
        pytest.skip("the page says that its commands need curl")
    settings = stack.settings
    text = (settings.repository / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    script = "set -euo pipefail\n" + "\n".join(f"{block}\necho '\n----'" for block in blocks)
    assert "http://127.0.0.50:8080" in script
    assert "var/lab/town.json" in script
    here = script.replace("http://127.0.0.50:8080", settings.crm_url).replace(
        "var/lab/town.json", str(settings.town_file)
    )
    done = subprocess.run(["bash", "-c", here], cwd=directory, capture_output=True, text=True, check=False, timeout=60)
    told = done.stdout.split("\n----\n")
    assert done.returncode == 0, (done.stderr, told)
    assert len(told) == len(blocks) + 1
    return blocks, told


def test_every_command_of_the_api_page_does_what_it_says(stack: Stack, tmp_path: Path) -> None:
    blocks, told = _run(stack, "api.md", tmp_path)
    assert len(blocks) > 8
    # The page shows one problem, and that one alone.
    with_problems = [block for block, answer in zip(blocks, told, strict=False) if "urn:entryphone:problem" in answer]
    assert [("colour" in block) for block in with_problems] == [True], with_problems
    everything = "".join(told)
    assert '"made":144' in everything
    assert re.search(r'"noun":"apartment".*"title":"12"', everything)
    assert '"made":{"residents":2,"residencies":2}' in everything
    assert '"dry_run":true,"changed":144,"unchanged":0,"failed":0' in everything
    assert "0013011116;" in everything  # a key that came as hexadecimal, exported as decimal
    handsets = re.findall(r'"account":"(h[a-z0-9]+)","kind":"handset"', everything)
    assert len(handsets) == 2
    assert len(set(handsets)) == 1


def test_every_command_of_the_page_about_ring_plans_does_what_it_says(stack: Stack, tmp_path: Path) -> None:
    _, told = _run(stack, "ring-plans.md", tmp_path)
    assert "urn:entryphone:problem" not in "".join(told)
    usual = json.loads(told[1])
    assert [sorted(t["account"] for t in stage["targets"]) for stage in usual["stages"]] == [
        ["o1-app", "o1-gateway", "o1-handset"]
    ]
    _, made_ends = json.JSONDecoder().raw_decode(told[2])  # answers have no line end
    own = json.loads(told[2][made_ends:])
    assert [(stage["ring_timeout_s"], sorted(t["account"] for t in stage["targets"])) for stage in own["stages"]] == [
        (8, ["o1-gateway"]), (25, ["o1-app", "o1-handset"])
    ]  # fmt: skip


def test_the_command_that_finds_silent_panels_does_what_it_says(stack: Stack, tmp_path: Path) -> None:
    blocks, told = _run(stack, "operations.md", tmp_path)
    assert len(blocks) == 1
    lines = [line.split() for line in told[0].splitlines()]
    assert lines
    assert all(re.fullmatch(r"[a-z0-9-]+ (None|[0-9]{13}) .+", " ".join(line)) for line in lines), lines
