"""`make demo`: one real call in the demo town, told as a ladder, and the record the office keeps of it.

The stack is up and the town loaded when this runs. Every phone is a baresip process with real RTP; the panel's relay
opens only for its own door code heard in its stream.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.interruption import end_like_ctrl_c
from lab.ladder import Ladder
from lab.peers.baresip import AgentError, BaresipAgent
from lab.peers.baresip_config import AgentConfig
from lab.peers.door import Door
from lab.peers.message import told_elsewhere
from lab.peers.office import Office, OfficeError
from lab.peers.panel import SimulatedPanel
from lab.peers.town import Apartment, Panel, Resident, Town, read_town
from lab.process_scan import LAB_MARK, NAME_MARK, end_processes
from lab.settings import DEFAULT_DIRECTORY, LabSettings
from lab.stack import instance_lock
from lab.town.demo import POLEVAYA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.peers.digest import Credentials

_NAME = "demo"
"""Marks its phones among the processes of the lab, and begins the names of its directories."""
_HOUSEHOLD = 3
_RING_LIMIT_S, _STEP_LIMIT_S, _RECORD_LIMIT_S = 10.0, 5.0, 10.0
_THINKING_S, _TALK_S = 1.0, 1.5


class DemoError(Exception):
    """The call was not what it should be; the text says which step is missing."""


@dataclass
class Cast:
    """Who plays: the panel and the phones of one apartment."""

    apartment: Apartment
    number: str
    panel: SimulatedPanel
    panel_name: str
    phones: list[tuple[Resident, BaresipAgent]]


def choose_household(town: Town) -> tuple[Apartment, Panel, str]:
    """An apartment with three accounts behind a panel whose door opens by its code in the call.

    Raises:
        DemoError: the town has none.
    """
    for apartment in town.apartments:
        for account, number in apartment.dial.items():
            panel = town.panel(account)
            if panel.method == "dtmf" and panel.door_code and len(apartment.residents) == _HOUSEHOLD:
                return apartment, panel, number
    raise DemoError(f"the town has no apartment with {_HOUSEHOLD} accounts behind a panel that opens by code")


async def play(town: Town, settings: LabSettings, directory: Path) -> tuple[str, Ladder]:
    """Play the call; returns its Call-ID and the ladder.

    Raises:
        DemoError: a step is missing.
    """
    async with AsyncExitStack() as stack:
        cast = await _gather_cast(town, settings, directory, stack)
        title = f"{cast.panel_name} calls apartment {cast.apartment.number} ({cast.apartment.note})"
        print(f"\n{title}\n{'-' * len(title)}", flush=True)
        try:
            return await _tell(cast)
        except (TimeoutError, AgentError) as error:
            raise DemoError(str(error)) from error


async def _gather_cast(town: Town, settings: LabSettings, directory: Path, stack: AsyncExitStack) -> Cast:
    apartment, panel, number = choose_household(town)
    proxy = f"{town.sip.address}:{town.sip.port}"
    mark = {LAB_MARK: str(settings.directory), NAME_MARK: _NAME}

    def config(login: Credentials, address: str, name: str) -> AgentConfig:
        return AgentConfig(login.username, login.password, address, town.sip.domain, proxy, display_name=name)

    async def phone(resident: Resident) -> tuple[Resident, BaresipAgent]:
        own = config(resident.credentials, resident.address, resident.credentials.username)
        agent = await BaresipAgent.start(own, settings.root, directory / resident.credentials.username, mark)
        stack.push_async_callback(agent.stop)
        await agent.register()
        return resident, agent

    async def door_panel() -> SimulatedPanel:
        own = config(panel.credentials, panel.address, panel.name)
        simulated = await SimulatedPanel.start(
            own, Door(panel.door_code), settings.root, directory / panel.credentials.username, mark
        )
        stack.push_async_callback(simulated.stop)
        await simulated.phone.register()
        return simulated

    starting_panel = asyncio.create_task(door_panel())
    starting_phones = [asyncio.create_task(phone(resident)) for resident in apartment.residents]
    try:
        await asyncio.gather(starting_panel, *starting_phones)
    except (AgentError, TimeoutError) as error:
        raise DemoError(f"a phone of the town could not register: {error}") from error
    phones = [task.result() for task in starting_phones]
    return Cast(apartment, number, starting_panel.result(), panel.name, phones)


async def _tell(cast: Cast) -> tuple[str, Ladder]:
    ladder = Ladder()
    panel = cast.panel
    call_id = await panel.phone.dial(cast.number)
    ladder.step(cast.panel_name, f"a visitor presses {cast.number}", ladder.began_s)

    async def ring(resident: Resident, phone: BaresipAgent) -> str:
        event = await phone.wait_for("CALL_INCOMING", timeout_s=_RING_LIMIT_S)
        ladder.step(_title(resident), f'rings: "{event.peer_name or event.peer_uri}" is at the door', event.at_s)
        return event.call_id

    legs = await asyncio.gather(*(ring(*entry) for entry in cast.phones))
    ringing = await panel.phone.wait_for("CALL_RINGING", "CALL_PROGRESS", timeout_s=_STEP_LIMIT_S)
    ladder.step(cast.panel_name, "hears that it rings", ringing.at_s)

    await asyncio.sleep(_THINKING_S)  # a resident needs a moment to reach the phone
    (resident, answering), *others = cast.phones
    ladder.step(_title(resident), "answers")
    await answering.accept()
    await answering.wait_for("CALL_ESTABLISHED", timeout_s=_STEP_LIMIT_S)

    async def hear_elsewhere(other: Resident, phone: BaresipAgent, leg: str) -> None:
        reason = await phone.told_on_cancel(leg, _STEP_LIMIT_S)
        closed = await phone.wait_for("CALL_CLOSED", timeout_s=_STEP_LIMIT_S)
        if not told_elsewhere(reason):
            raise DemoError(f"{_title(other)} was not told 'answered elsewhere'; Reason: {reason!r}")
        ladder.step(_title(other), "stops ringing: answered elsewhere", closed.at_s)

    await asyncio.gather(*(hear_elsewhere(*entry, leg) for entry, leg in zip(others, legs[1:], strict=True)))
    talking = await panel.phone.wait_for("CALL_ESTABLISHED", timeout_s=_STEP_LIMIT_S)
    ladder.step(cast.panel_name, "talks", talking.at_s)
    await panel.phone.wait_for("CALL_RTPESTAB", timeout_s=_STEP_LIMIT_S)

    pressed_s = time.monotonic()
    ladder.step(_title(resident), "presses #", pressed_s)
    await answering.press("#")
    opening = await panel.door.wait_opened(_STEP_LIMIT_S, since_s=pressed_s)
    ladder.step(cast.panel_name, f"door opens (code heard in the stream: {panel.door.code})", opening.at_s)

    await asyncio.sleep(_TALK_S)
    await answering.hangup()
    ladder.step(_title(resident), "hangs up")
    closed = await panel.phone.wait_for("CALL_CLOSED", timeout_s=_STEP_LIMIT_S)
    ladder.step(cast.panel_name, "call over", closed.at_s)
    return call_id, ladder


def _title(resident: Resident) -> str:
    return f"{resident.kind} {resident.credentials.username}"


def tell_record(record: dict[str, Any]) -> list[str]:
    """The record as lines: what became of the call, then each phone and each key."""
    summary = ("result", "answered_by", "talk_ms", "plan_source")
    lines = [", ".join(f"{name} {record.get(name)}" for name in summary)]
    lines += [f"{branch.get('account')}: {branch.get('outcome')}" for branch in record.get("branches", [])]
    lines += [
        f"{opening.get('account')} pressed {opening.get('key')}: {opening.get('result')} by {opening.get('method')}"
        for opening in record.get("access_records", [])
    ]
    return lines


def tell_what_next(town: Town, call_id: str) -> str:
    """What a newcomer can do with the town, with every address and password in it."""
    apartment, panel, number = choose_household(town)
    resident = apartment.residents[0]
    server = f"{town.sip.address}:{town.sip.port}"
    return f"""
The stack is still running. Try next:

  A softphone on this machine: account {resident.credentials.username}, password {resident.credentials.password},
    domain {town.sip.domain}, outbound proxy {server} over UDP; then call as the panel:
    account {panel.credentials.username}, password {panel.credentials.password}, dial {number}. While talking, # opens.
  All panels, apartments, accounts and passwords: var/lab/town.json
  The record of this call:
    curl -H 'Authorization: Bearer {town.operator_token}' {town.api_url}/v1/calls/{call_id}
{tell_second_company(town)}  make status   each process: running, healthy, why not
  make logs     what the processes say
  make down     stop everything
"""


def tell_second_company(town: Town) -> str:
    """What the town's other company shows: its panel, and who lives behind which number there; empty without it."""
    households = [apartment for apartment in town.apartments if apartment.house == POLEVAYA]
    if not households:  # the file is of an older town: the stack was up already
        return ""
    (account, *_) = households[0].dial
    panel = town.panel(account)
    lines = [f"    {household.dial[account]}  {household.note}\n" for household in households]
    return f"""  A second company: prompts in Russian, recorded talks, messages, and neighbours of one house: call as
    account {account}, password {panel.credentials.password}, and dial
{"".join(lines)}"""


@contextmanager
def stage(settings: LabSettings) -> Iterator[Path]:
    """A directory for the phones of one call; before and after it there is neither phone nor directory of a demo.

    A demo that was killed leaves both: its phones would be at the addresses of ours.
    """
    with instance_lock(settings.directory / _NAME):  # two calls at once would be played by the same phones
        _clear(settings)
        try:
            yield Path(tempfile.mkdtemp(prefix=f"{_NAME}-", dir=settings.directory))
        finally:
            _clear(settings)


def _clear(settings: LabSettings) -> None:
    end_processes(settings.directory, settings.run, name=_NAME)  # told to end, a phone takes its registration away
    for directory in settings.directory.glob(f"{_NAME}-*"):
        shutil.rmtree(directory)


def main() -> int:
    """Play the demo call; 0 when every step of the ladder happened."""
    parser = argparse.ArgumentParser(prog="python -m lab.demo", description="One real call in the demo town")
    parser.add_argument("--directory", type=Path, default=DEFAULT_DIRECTORY, help="of the lab (default: var/lab)")
    settings = replace(LabSettings(), directory=parser.parse_args().directory.resolve())
    began_s = time.monotonic()
    end_like_ctrl_c()
    try:
        town = read_town(settings.town_file)
        with stage(settings) as directory:
            call_id, _ = asyncio.run(play(town, settings, directory))
        record = asyncio.run(Office(town).call_record(call_id, _RECORD_LIMIT_S))
    except FileNotFoundError as error:
        print(f"demo: {error.filename} is missing: run `make up` first", file=sys.stderr)
        return 1
    except (DemoError, OfficeError) as error:
        print(f"\ndemo: the call failed: {error}\ndemo: `make status` and `make logs` tell more", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"\nWhat the office knows of it (call {call_id})")
    for line in tell_record(record):
        print(f"  {line}")
    print(f"\nThe demo took {time.monotonic() - began_s:.1f} s.")
    print(tell_what_next(town, call_id))
    return 0


if __name__ == "__main__":
    sys.exit(main())
