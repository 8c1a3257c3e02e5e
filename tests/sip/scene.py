"""The stage of a story: phones and panels of the demo town, brought in by name and sent home afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lab.peers.baresip import BaresipAgent
from lab.peers.baresip_config import AgentConfig
from lab.peers.door import Door
from lab.peers.office import Office
from lab.peers.panel import SimulatedPanel
from lab.peers.scripted import ScriptedPeer
from lab.peers.town import read_town
from lab.peers.watch import Patience
from lab.probes import kamailio_rpc, redis_command
from lab.process_scan import LAB_MARK
from lab.services import OUTBOX_HEARTBEAT
from tests.at_rest import await_nodes, await_rest
from tests.sip.server_settings import agi_settings
from tests.sip.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from lab.peers.calls import IncomingCall, OutgoingCall
    from lab.peers.town import Apartment, Panel, Resident
    from lab.settings import LabSettings

# Where servers of carriers and of dispatch centres are.
_CARRIERS = "127.0.3."
# What is left behind disturbs the stories after this one: a machine that stands still for a moment is waited for.
_LEAVE_S = 5.0
_TOLD_LINES, _TOLD_LENGTH = 40, 240


class Stack(Protocol):
    """What the stories need of the running servers (session fixture `stack`, tests/conftest.py)."""

    settings: LabSettings

    def kill(self, service: str, signal_number: signal.Signals = signal.SIGKILL, /) -> None:
        """Signal every process of a service; with 9 (and TERM) return when they have ended."""

    def start(self, *services: str) -> None:
        """Start services again and wait until they are healthy."""

    def restart(self, service: str) -> None:
        """End a service in good order and start it again."""

    def pids(self, service: str) -> list[int]:
        """The processes of a service."""


@dataclass
class Home:
    """The scripted phones of one apartment, each registered at its own address."""

    phones: list[tuple[Resident, ScriptedPeer]]

    async def all_ring(self, timeout_s: float = 5.0, since_s: float = 0.0) -> list[IncomingCall]:
        """Wait until every phone has been called, and let each say that it rings."""
        calls = await asyncio.gather(
            *(peer.incoming(who.credentials.username, timeout_s, since_s) for who, peer in self.phones)
        )
        for call in calls:
            call.ring()
        return list(calls)


@dataclass
class Scene:
    """Everybody on the stage. The runner of asynchronous tests closes it after the story."""

    stack: Stack
    _exits: AsyncExitStack = field(default_factory=AsyncExitStack)
    _directory: tempfile.TemporaryDirectory[str] | None = None
    _killed: list[str] = field(default_factory=list)
    _log_offsets: dict[str, int] = field(default_factory=dict)
    _peers: dict[tuple[str, int], ScriptedPeer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.town = read_town(self.stack.settings.town_file)
        self.office = Office(self.town)
        self.emergency = json.loads(self.stack.settings.town_file.read_text(encoding="utf-8"))["emergency"]
        for path in self.stack.settings.log.rglob("*"):
            if path.is_file():
                self._log_offsets[str(path)] = path.stat().st_size

    async def close(self) -> None:
        """Start again what the story killed, take every registration away, stop everybody."""
        try:
            if self._killed:
                await self.revive()
        finally:
            try:
                for peer in self._peers.values():
                    await peer.hang_up_everything(_LEAVE_S)
            finally:
                await self._exits.aclose()
                if self._directory is not None:
                    self._directory.cleanup()

    def when_over(self, stop: Callable[[], Awaitable[None]]) -> None:
        """Call this when the story is over, however it ends."""
        self._exits.push_async_callback(stop)

    # --- real phones --------------------------------------------------------------------------------------------

    async def phone(
        self,
        resident: Resident,
        dtmf: Literal["rtpevent", "info"] = "rtpevent",
        transport: Literal["udp", "tcp"] = "udp",
    ) -> BaresipAgent:
        """A registered baresip at the resident's address."""
        config = replace(
            self._config(resident.credentials.username, resident.credentials.password, resident.address),
            dtmf=dtmf,
            transport=transport,
        )
        scratch = self._scratch(config.account)
        agent = await BaresipAgent.start(config, self.stack.settings.root, scratch, self._mark)
        self._exits.push_async_callback(agent.stop)
        await agent.register()
        return agent

    async def phones(self, apartment: Apartment) -> list[BaresipAgent]:
        """A registered baresip for every account of an apartment."""
        return await asyncio.gather(*(self.phone(resident) for resident in apartment.residents))

    async def panel(self, panel: Panel, relay_login: tuple[str, str] | None = None) -> SimulatedPanel:
        """A registered simulated panel; with a login its relay answers HTTP, too."""
        config = self._config(panel.credentials.username, panel.credentials.password, panel.address)
        directory = self._scratch(config.account)
        simulated = await SimulatedPanel.start(
            config, Door(panel.door_code), self.stack.settings.root, directory, self._mark
        )
        self._exits.push_async_callback(simulated.stop)
        if relay_login is not None:
            await simulated.serve_relay(*relay_login)
        await simulated.phone.register()
        return simulated

    # --- scripted peers -----------------------------------------------------------------------------------------

    async def peer(self, address: str, port: int = 5060, streams: int = 4) -> ScriptedPeer:
        """The scripted peer at an address, without an account; made, for so many calls, when it is first asked for."""
        if (address, port) in self._peers:
            return self._peers[address, port]
        peer = await ScriptedPeer.open(self.town.sip, address, port, streams)
        peer.is_one_server = address.startswith(_CARRIERS)
        self._peers[address, port] = peer
        self._exits.callback(peer.close)
        return peer

    async def visitor(self, panel: Panel) -> ScriptedPeer:
        """A scripted peer at a panel's address."""
        return await self.peer(panel.address)

    async def resident(self, resident: Resident) -> ScriptedPeer:
        """A registered scripted phone."""
        peer = await self.peer(resident.address)
        answer = await peer.register(resident.credentials)
        assert answer.status == 200, f"{resident.credentials.username} could not register: {answer.start_line}"
        self._exits.push_async_callback(self._forget, peer, resident)
        return peer

    async def home(self, apartment: Apartment) -> Home:
        """Every phone of an apartment, scripted."""
        peers = await asyncio.gather(*(self.resident(resident) for resident in apartment.residents))
        return Home(list(zip(apartment.residents, peers, strict=True)))

    async def talk(
        self, apartment: Apartment, panel: Panel, number: str, who: int = 0
    ) -> tuple[OutgoingCall, IncomingCall, Home]:
        """A visitor at the panel talks with one resident; everybody is scripted."""
        home = await self.home(apartment)
        visitor = await self.visitor(panel)
        call = await visitor.call(panel.credentials, number)
        rings = await home.all_ring()
        rings[who].answer()
        await call.answered()
        await rings[who].established()
        return call, rings[who], home

    @contextlib.asynccontextmanager
    async def with_values(self, path: str, **values: Any) -> AsyncIterator[None]:
        """What the API has at this path has these values inside the block, and calls feel it; then its own again."""
        before = await self.office.get(path)
        await self.office.send("PATCH", path, values)
        await self.felt()
        try:
            yield
        finally:
            await self.office.send("PATCH", path, {name: before[name] for name in values})
            await self.felt()

    async def panel_path(self, panel: Panel) -> str:
        """Where the API has a panel."""
        rows = (await self.office.get("/v1/panels?limit=200"))["items"]
        return f"/v1/panels/{next(row['id'] for row in rows if row['account'] == panel.credentials.username)}"

    @contextlib.asynccontextmanager
    async def company_with(self, **rules: Any) -> AsyncIterator[None]:
        """The first company of the town has these rules inside the block."""
        company = (await self.office.get("/v1/companies"))["items"][0]
        async with self.with_values(f"/v1/companies/{company['id']}", **rules):
            yield

    @contextlib.asynccontextmanager
    async def made(self, noun: str, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Something that the office makes for the block, and removes after it."""
        made = await self.office.send("POST", f"/v1/{noun}", body)
        try:
            yield made
        finally:
            await self.office.send("DELETE", f"/v1/{noun}/{made['account'] if noun == 'accounts' else made['id']}")

    @contextlib.asynccontextmanager
    async def plan_with(self, at: Panel, number: str, stages: list[dict[str, Any]]) -> AsyncIterator[None]:
        """The apartment that this number of a panel rings has these stages inside the block; it has no plan else."""
        plan = await self.office.get(f"/v1/ring-plans/{at.credentials.username}/{number}")
        body = {"apartment_id": plan["apartment_id"], "stages": stages}
        try:
            async with self.made("ring-plans", body):
                await self.felt()
                yield
        finally:
            await self.felt()

    # --- servers ------------------------------------------------------------------------------------------------

    async def kill(self, *services: str) -> None:
        """Kill services with signal 9; they are started again after the story."""
        for service in services:
            await asyncio.to_thread(self.stack.kill, service)
            self._killed.append(service)

    async def stop(self, service: str) -> None:
        """End a service in good order (SIGTERM); it is started again after the story."""
        self._killed.append(service)
        await asyncio.to_thread(self.stack.kill, service, signal.SIGTERM)

    async def freeze(self, *services: str) -> None:
        """Stop services as a host that stands still: they take connections and say nothing. Until the story is over."""
        for service in services:
            await asyncio.to_thread(self.stack.kill, service, signal.SIGSTOP)
        self.when_over(lambda: self.thaw(*services))

    async def unfreeze(self, *services: str) -> None:
        """Let frozen services go on."""
        for service in services:
            await asyncio.to_thread(self.stack.kill, service, signal.SIGCONT)

    async def thaw(self, *services: str) -> None:
        """Let frozen services go on, and wait until all is well."""
        await self.unfreeze(*services)
        await asyncio.to_thread(self.stack.start, *services)
        await asyncio.to_thread(await_rest, self.stack.settings)
        await asyncio.to_thread(await_nodes, self.stack.settings)

    async def revive(self) -> None:
        """Start again what the story has killed, together: the CRM is not healthy without Redis."""
        killed, self._killed = self._killed, []
        await asyncio.to_thread(self.stack.start, *dict.fromkeys(killed))  # killed twice, it is started once
        await asyncio.to_thread(await_rest, self.stack.settings)
        await asyncio.to_thread(await_nodes, self.stack.settings)

    async def restart(self, service: str) -> None:
        """Kill a service with signal 9 and start it again."""
        await asyncio.to_thread(self.stack.kill, service)
        await asyncio.to_thread(self.stack.start, service)

    async def felt(self) -> None:
        """Wait until a change just made is felt: a second, or longer where the machine is too busy to deliver it."""
        await asyncio.gather(asyncio.sleep(1), self.delivered())

    async def delivered(self) -> None:
        """Wait until what was changed up to now is out of the cache of plans."""
        changed_ms, deadline = time.time() * 1000, time.monotonic() + 15
        redis = (self.stack.settings.redis_host, self.stack.settings.redis_port)
        while int(await asyncio.to_thread(redis_command, *redis, "GET", OUTBOX_HEARTBEAT) or 0) < changed_ms:
            assert time.monotonic() < deadline, "the CRM has not delivered its changes"
            await asyncio.sleep(0.05)

    @contextlib.asynccontextmanager
    async def agi_settings(self, **changes: object) -> AsyncIterator[None]:
        """FastAGI runs with other settings inside the block."""
        changed = agi_settings(self.stack, **changes)
        await asyncio.to_thread(changed.__enter__)
        try:
            yield
        finally:
            await asyncio.to_thread(changed.__exit__, None, None, None)

    @contextlib.asynccontextmanager
    async def kamailio_host(self, usual: str, other: str) -> AsyncIterator[None]:
        """Kamailio runs with other words of `kamailio-host.cfg` inside the block. Killed before and after it."""
        path = self.stack.settings.etc / "kamailio-host.cfg"
        before = path.read_text(encoding="utf-8")
        assert usual in before
        path.write_text(before.replace(usual, other), encoding="utf-8")
        try:
            await self.restart("kamailio")
            await asyncio.to_thread(await_nodes, self.stack.settings)
            yield
        finally:
            path.write_text(before, encoding="utf-8")
            await self.restart("kamailio")
            await asyncio.to_thread(await_nodes, self.stack.settings)

    async def rpc(self, method: str, *parameters: str | float) -> dict[str, Any]:
        """What Kamailio answers to one JSON-RPC call, with `result` or `error`."""
        return await asyncio.to_thread(
            kamailio_rpc, self.stack.settings.run / "kamailio" / "rpc.sock", method, *parameters
        )

    async def kept(self, table: str, key: str) -> str:
        """What Kamailio's table keeps under a key, as a text to look into."""
        return str(await self.rpc("htable.get", table, key))

    async def has_contact(self, account: str) -> bool:
        """Whether Kamailio knows where an account is."""
        return "result" in await self.rpc("ul.lookup", "location", f"{account}@{self.town.sip.domain}")

    async def contact_goes(self, account: str, within_s: float) -> float:
        """Wait until Kamailio knows no more where an account is: in time. After how many seconds that was."""
        watch = Stopwatch()
        while await self.has_contact(account):
            assert watch.took_s < within_s
            await asyncio.sleep(0.02)  # Kamailio tells nobody
        return watch.took_s

    def console(self, node: str, command: str) -> str:
        """One command on the console of an Asterisk node; returns what it prints."""
        (pid, *_) = self.stack.pids(node)
        enter = ["nsenter", f"--target={pid}", "--mount", "--root", "--wd=/"]
        config = f"/etc/entryphone/asterisk/{node}/asterisk.conf"
        done = subprocess.run(
            [*enter, "/usr/sbin/asterisk", "-C", config, "-r", "-x", command],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def log_lines(self, log: str, *parts: str) -> list[str]:
        """The lines that a log has gained in this story and that contain every part; `log` is a path without `.log`."""
        return self.new_lines(self.stack.settings.log / (log if "/" in log else f"{log}.log"), *parts)

    def new_lines(self, path: Path, *parts: str) -> list[str]:
        """The lines that a file of the log directory has gained in this story and that contain every part."""
        with path.open("rb") as file:
            file.seek(self._log_offsets.get(str(path), 0))
            text = file.read().decode("utf-8", "replace")
        return [line for line in text.splitlines() if all(part in line for part in parts)]

    def told(self) -> str:
        """What every server has logged in this story, its last lines: for whoever reads of a failure elsewhere."""
        logs = self.stack.settings.log
        lines = {path: self.new_lines(path)[-_TOLD_LINES:] for path in sorted(logs.rglob("*")) if path.is_file()}
        return "\n".join(f"{path.relative_to(logs)}: {line[:_TOLD_LENGTH]}" for path in lines for line in lines[path])

    async def log_line(self, log: str, *parts: str, timeout_s: float = 5.0) -> str:
        """The only line that a log has gained in this story and that contains every part."""
        patience = Patience(timeout_s)
        while not (found := self.log_lines(log, *parts)):
            if not patience.left_s:
                raise AssertionError(f"{log}: no new line with {parts}")
            await asyncio.sleep(0.02)  # a file has nothing to wait on
        assert len(found) == 1, f"{log}: said more than once: {found}"
        return found[0]

    @property
    def _mark(self) -> dict[str, str]:
        """Has `make down` find the phones of a session that was killed."""
        return {LAB_MARK: str(self.stack.settings.directory)}

    def _config(self, account: str, password: str, address: str) -> AgentConfig:
        sip = self.town.sip
        return AgentConfig(account, password, address, sip.domain, f"{sip.address}:{sip.port}")

    def _scratch(self, account: str) -> Path:
        if self._directory is None:
            self._directory = tempfile.TemporaryDirectory(prefix="phones-")
        return Path(self._directory.name) / account

    @staticmethod
    async def _forget(peer: ScriptedPeer, resident: Resident) -> None:
        with contextlib.suppress(TimeoutError):
            await peer.register(resident.credentials, expires_s=0, contact="*", timeout_s=_LEAVE_S)
