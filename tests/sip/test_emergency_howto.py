"""The commands of docs/emergency.md are run as they stand there: a city from nothing, a test call, a real call."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest

from lab.peers.digest import Credentials
from lab.peers.office import OfficeError
from tests.sip.emergency_scene import caller_of, emergency_record, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sip.scene import Scene

LINE, PANEL_ADDRESS, PANEL = "127.0.3.21", "127.0.1.151", "p510001"
OVER = "---- over ----"


class Page:
    """A page of the documentation, and the shell that its commands are typed into."""

    def __init__(self, shell: asyncio.subprocess.Process, blocks: list[str]) -> None:
        self._shell = shell
        self.blocks = blocks

    async def answers(self, count: int) -> list[str]:
        """Run the next blocks; return what each printed."""
        told = []
        for _ in range(count):
            block = self.blocks.pop(0)
            assert self._shell.stdin is not None
            self._shell.stdin.write(f"{block}\necho; echo '{OVER}'\n".encode())
            await self._shell.stdin.drain()
            told.append(await asyncio.wait_for(self._until_over(block), 30))
        return told

    async def value(self, name: str) -> str:
        """The value of a variable of the shell."""
        self.blocks.insert(0, f'echo "${name}"')
        return (await self.answers(1))[0].strip()

    async def _until_over(self, block: str) -> str:
        assert self._shell.stdout is not None
        lines: list[str] = []
        while (line := (await self._shell.stdout.readline()).decode()) != f"{OVER}\n":
            assert line, f"the shell has ended within: {block}\n{''.join(lines)}"
            lines.append(line)
        return "".join(lines)


async def _opened(scene: Scene, directory: Path) -> Page:
    settings = scene.stack.settings
    text = (settings.repository / "docs" / "emergency.md").read_text(encoding="utf-8")
    for there, here in (("http://127.0.0.50:8080", settings.crm_url), ("var/lab/town.json", str(settings.town_file))):
        assert there in text
        text = text.replace(there, here)
    shell = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-s", cwd=directory, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip

    async def end() -> None:
        if shell.returncode is None:
            shell.kill()
        await shell.wait()

    scene.when_over(end)
    return Page(shell, re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


def documents(text: str) -> list[Any]:
    """The JSON documents that were printed one after the other."""
    decoder, found, position = json.JSONDecoder(), [], 0
    while (position := text.find("{", position)) >= 0:
        document, position = decoder.raw_decode(text, position)
        found.append(document)
    return found


async def _known_to_the_call_side(scene: Scene, city: str) -> None:
    async def read() -> str:
        return " ".join([await scene.kept("emergency_cities", city), await scene.kept("emergency_places", PANEL)])

    await until(read, lambda told: all(part in told for part in ("hilltop-line", "+74960000000", "Upper street 7")))


async def _removed(scene: Scene) -> None:
    """Take away what the page has made: the stories after this one know their own trunks only."""
    office = scene.office
    cities = (await office.get("/v1/cities?name=Hilltop"))["items"]
    for number in [n for c in cities for n in (await office.get(f"/v1/city-numbers?city_id={c['id']}"))["items"]]:
        await office.send("DELETE", f"/v1/city-numbers/{number['id']}")
    for noun, wanted in (
        ("emergency-centres", "Hilltop 112"), ("panels", "Upper street 7, entrance 3"), ("trunks", "hilltop-line"),
        ("trunks", "hilltop-second"),
    ):  # fmt: skip
        for row in (await office.get(f"/v1/{noun}?limit=100"))["items"]:
            if row["name"] == wanted:
                await office.send("DELETE", f"/v1/{noun}/{row['id']}")
    with contextlib.suppress(OfficeError):  # the page broke off before it
        await office.send("DELETE", f"/v1/accounts/{PANEL}")


async def test_every_command_of_the_page_does_what_it_says(scene: Scene, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("the page's commands need curl")
    page = await _opened(scene, tmp_path)
    scene.when_over(lambda: _removed(scene))
    _, city, trunks, centre, numbers, panel, check = await page.answers(7)

    (problem,) = documents(city)
    assert (problem["type"], problem["errors"][0]["field"]) == ("urn:entryphone:problem:invalid-fields", "fias_id")
    assert [trunk["name"] for trunk in documents(trunks)] == ["hilltop-line", "hilltop-second"]
    assert documents(centre)[0]["public_number"] == "+74960000112"
    tried, loaded, listed = documents(numbers)
    assert [(p["row"], p["column"], p["value"]) for p in tried["problems"]] == [(5, "number", "12")]
    assert (tried["made"], loaded["made"], loaded["problems"]) == (0, 3, [])
    assert {(n["number"], n["status"]) for n in listed["items"]} == {
        ("+74960000000", "shared"), ("+74960000001", "free"), ("+74960000002", "free"),
    }  # fmt: skip
    assert listed["items"][0]["fias_id"] == "5f290be7-14ff-4ccd-8bc8-2871a9ca9d5f"
    made, rules = documents(panel)
    assert (made["account"], rules["sos_number"]) == (PANEL, "911")
    _, findings = documents(check)
    assert findings["items"] == []
    await _known_to_the_call_side(scene, await page.value("CITY"))

    dispatch = await scene.peer(LINE)
    since_s = time.monotonic()
    (test_call,), ring = await asyncio.gather(page.answers(1), _answered(dispatch, "+74960000199", since_s))
    (tried_call,) = documents(test_call)
    assert (tried_call["result"], tried_call["test"]) == ("answered", True)
    steps = ("placed", "number", "dial", "connected", "heard")  # not all told by who tells the result
    tried_call = await emergency_record(scene, tried_call["call_id"], *steps)
    assert tried_call["number"] == caller_of(ring)

    visitor = await scene.peer(PANEL_ADDRESS)
    since_s = time.monotonic()
    credentials = Credentials(PANEL, await page.value("PASSWORD"))
    call, ring = await asyncio.gather(visitor.call(credentials, "911"), _answered(dispatch, "112", since_s))
    await call.answered()
    await call.bye()
    await emergency_record(scene, call.call_id, "ended", "number", "answered")

    after, released, pools = await page.answers(3)
    calls, notices = documents(after)
    (record,) = calls["items"]
    assert (record["number"], record["dialled"], record["result"]) == (caller_of(ring), "911", "answered")
    assert [(n["kind"], n["channel"], n["destination"]) for n in notices["items"]] == [
        ("emergency_call", "email", "duty@112.hilltop.example"),
    ]  # fmt: skip
    (lease,) = documents(released)
    assert (lease["number"], lease["end_reason"], lease["reason"]) == (
        record["number"], "released", "the panel was stolen",
    )  # fmt: skip
    pool = next(p for p in json.JSONDecoder().raw_decode(pools)[0]["items"] if p["city"] == "Hilltop")
    assert (pool["numbers"], pool["free"]) == (2, 2)
    assert re.search(r'^entryphone_number_pool_free_ratio{city="Hilltop",city_id="\d+"} 1\.0$', pools, re.MULTILINE)
    assert page.blocks == []


async def _answered(dispatch: Any, number: str, since_s: float) -> Any:
    ring = await dispatch.incoming(number, 10, since_s)
    ring.answer()
    await ring.established()
    return ring
