"""A real phone: one baresip 1.1 process from the Debian root, driven over its ctrl_tcp port.

The process runs chrooted in a private mount namespace; its directory appears there as /run/entryphone. Commands and
events are JSON in netstrings (baresip's ctrl_tcp module); the SIP trace comes through standard output, because the
reason of a CANCEL is told nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from lab.peers.baresip_config import CONTROL_PORT, AgentConfig
from lab.peers.sip_trace import SipTraceReader, TracedMessage
from lab.peers.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SEEN_AS = "/run/entryphone"
_START_TIMEOUT_S = 10.0
_COMMAND_TIMEOUT_S = 5.0
_KEY_RELEASE_S = 0.12
_QUIT_TIMEOUT_S = 5.0
"""It takes its registration away: killed before, it leaves a contact behind."""
_TRACE_CHUNK = 65536


class AgentError(RuntimeError):
    """baresip refused a command or ended; the text names the account, the command and what it said."""


@dataclass(frozen=True)
class AgentEvent:
    """One event of baresip: `type` as baresip names it (`CALL_INCOMING`, ...), and when it came (monotonic)."""

    at_s: float
    type: str
    call_id: str = ""
    peer_uri: str = ""
    peer_name: str = ""
    param: str = ""


@dataclass
class BaresipAgent:
    """A phone. Made by `start`; every wait has a deadline and says what did not happen."""

    config: AgentConfig
    directory: Path
    events: list[AgentEvent] = field(default_factory=list)
    trace: list[TracedMessage] = field(default_factory=list)
    output: list[str] = field(default_factory=list)
    _watch: Watch = field(default_factory=Watch)
    _replies: dict[str, asyncio.Future[tuple[bool, str]]] = field(default_factory=dict)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _tokens: int = 0
    _process: asyncio.subprocess.Process | None = None
    _writer: asyncio.StreamWriter | None = None
    _listeners: list[Callable[[AgentEvent], None]] = field(default_factory=list)

    @classmethod
    async def start(
        cls, config: AgentConfig, root: Path, directory: Path, environment: dict[str, str] | None = None
    ) -> Self:
        """Start the process and connect to its control port.

        Args:
            config: account, address and habits.
            root: the Debian root baresip is installed in.
            directory: the agent's own, for its configuration; created.
            environment: added to the process's, so that whoever cleans up the lab finds it.
        """
        agent = cls(config, directory)
        config.write(directory)
        agent._process = await asyncio.create_subprocess_exec(
            *("unshare", "--mount", "--propagation", "private", "sh", "-c", _enter_script(root, directory)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        agent._tasks.append(asyncio.create_task(agent._read_output()))
        try:
            reader = await agent._connect()
        except BaseException:
            await agent.stop()
            raise
        agent._tasks.append(asyncio.create_task(agent._read_control(reader)))
        return agent

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End the process: politely (it unregisters), then not."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(AgentError, TimeoutError, ConnectionError, OSError):
                await self._command("quit", timeout_s=_QUIT_TIMEOUT_S)
            try:
                async with asyncio.timeout(_QUIT_TIMEOUT_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()

    async def kill(self) -> None:
        """End the process at once, as a power cut does: no BYE, no un-REGISTER."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def on_event(self, listener: Callable[[AgentEvent], None]) -> None:
        """Have every event from now on told to a function, in the event loop."""
        self._listeners.append(listener)

    async def register(self, timeout_s: float = 5.0, interval_s: int = 600) -> None:
        """Create the account and register it.

        Raises:
            AgentError: the registrar refused, with its status.
        """
        since_s = time.monotonic()
        await self._command("uanew", self.config.account_line(interval_s))
        event = await self.wait_for("REGISTER_OK", "REGISTER_FAIL", timeout_s=timeout_s, since_s=since_s)
        if event.type == "REGISTER_FAIL":
            raise AgentError(f"{self.config.account}: registration refused: {event.param}")

    async def unregister(self) -> None:
        """Take the binding away and forget the account."""
        await self._command("uadel", f"sip:{self.config.account}@{self.config.domain}")

    async def dial(self, number: str) -> str:
        """Call a number of the domain; returns the SIP Call-ID."""
        answer = await self._command("dial", f"sip:{number}@{self.config.domain}")
        return answer.rpartition("call id:")[2].strip()

    async def accept(self, call_id: str = "") -> None:
        """Answer the call that rings (or the one named)."""
        await self._command("accept", call_id or None)

    async def hangup(self, call_id: str = "") -> None:
        """End the call: BYE, or CANCEL while it rings."""
        await self._command("hangup", call_id or None)

    async def press(self, keys: str) -> float:
        """Press keys in the call, one after the other; returns when the last was let go (monotonic seconds)."""
        for index, key in enumerate(keys):
            if index:
                await asyncio.sleep(_KEY_RELEASE_S)
            await self._command("sndcode", key)
        return time.monotonic()

    async def reinvite(self) -> None:
        """Send a re-INVITE in the call."""
        await self._command("reinvite")

    async def wait_for(self, *types: str, timeout_s: float = 5.0, since_s: float = 0.0, param: str = "") -> AgentEvent:
        """The first event of one of the types at or after a monotonic time, past ones included.

        Args:
            types: names of baresip's events.
            timeout_s: longest wait.
            since_s: events before this moment do not count.
            param: when given, the event's parameter must be this.
        """

        def found() -> AgentEvent | None:
            return next(
                (
                    event
                    for event in self.events
                    if event.type in types and event.at_s >= since_s and param in ("", event.param)
                ),
                None,
            )

        await self._watch.until(
            lambda: found() is not None,
            timeout_s,
            lambda: (
                f"{self.config.account}: no {' or '.join(types)} {param}; "
                f"events: {[f'{event.type} {event.param}'.strip() for event in self.events[-8:]]}"
            ),
        )
        event = found()
        if event is None:
            raise AssertionError("an event that was there is gone")
        return event

    async def wait_traced(
        self, accept: Callable[[TracedMessage], bool], what: str, timeout_s: float = 5.0, since_s: float = 0.0
    ) -> TracedMessage:
        """The first accepted message of the SIP trace at or after a monotonic time, past ones included."""

        def found() -> TracedMessage | None:
            return next((got for got in self.trace if got.at_s >= since_s and accept(got)), None)

        await self._watch.until(
            lambda: found() is not None, timeout_s, lambda: f"{self.config.account}: {what} is not in the SIP trace"
        )
        got = found()
        if got is None:
            raise AssertionError("a message that was there is gone")
        return got

    async def told_on_cancel(self, call_id: str, timeout_s: float = 5.0) -> str:
        """The Reason headers of the CANCEL that ended this ringing, joined; empty when it had none.

        Args:
            call_id: of the `CALL_INCOMING` event. A CANCEL of another call is one for who had this address before:
                the proxy repeats it until somebody replies.
            timeout_s: longest wait.
        """

        def is_it(got: TracedMessage) -> bool:
            sip = got.message
            return sip.method == "CANCEL" and not sip.is_response and sip.get("Call-ID") == call_id

        cancel = await self.wait_traced(is_it, "CANCEL", timeout_s)
        return ", ".join(cancel.message.get_all("Reason"))

    async def _command(self, command: str, params: str | None = None, timeout_s: float = _COMMAND_TIMEOUT_S) -> str:
        if self._writer is None:
            raise AgentError(f"{self.config.account}: baresip is not running; start it first")
        self._tokens += 1
        token = str(self._tokens)
        order = {"command": command, "token": token} | ({} if params is None else {"params": params})
        body = json.dumps(order).encode()
        reply = self._new_reply(token)
        self._writer.write(b"%d:%s," % (len(body), body))
        try:
            succeeded, text = await asyncio.wait_for(reply, timeout_s)
        except TimeoutError:
            raise AgentError(f"{self.config.account}: baresip did not answer {command!r} in {timeout_s} s") from None
        finally:
            self._replies.pop(token, None)
        if not succeeded:
            raise AgentError(f"{self.config.account}: baresip refused {command!r} {params or ''}: {text.strip()}")
        return text

    def _new_reply(self, token: str) -> asyncio.Future[tuple[bool, str]]:
        reply: asyncio.Future[tuple[bool, str]] = asyncio.get_running_loop().create_future()
        self._replies[token] = reply
        return reply

    async def _connect(self) -> asyncio.StreamReader:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                reader, self._writer = await asyncio.open_connection(self.config.address, CONTROL_PORT)
            except OSError as error:
                process = self._process
                if time.monotonic() > deadline or process is None or process.returncode is not None:
                    said = "".join(self.output)[-500:]
                    raise AgentError(f"{self.config.account}: baresip did not start ({error}): {said}") from error
                await asyncio.sleep(0.02)  # nothing announces the port; baresip needs about 50 ms
            else:
                return reader

    async def _read_control(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length = int((await reader.readuntil(b":"))[:-1])
                body = await reader.readexactly(length + 1)
                self._take(json.loads(body[:-1]))

    def _take(self, told: dict[str, object]) -> None:
        if told.get("response"):
            reply = self._replies.get(str(told.get("token")))
            if reply is not None and not reply.done():
                reply.set_result((bool(told.get("ok")), str(told.get("data", ""))))
            return
        event = AgentEvent(
            time.monotonic(),
            str(told.get("type", "")),
            str(told.get("id", "")),
            str(told.get("peeruri", "")),
            str(told.get("peerdisplayname", "")),
            str(told.get("param", "")),
        )
        self.events.append(event)
        for listener in self._listeners:
            listener(event)
        self._watch.notify()

    async def _read_output(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        reader = SipTraceReader()
        while data := await self._process.stdout.read(_TRACE_CHUNK):
            found, text = reader.feed(data)
            self.trace.extend(found)
            self.output.append(text)
            if found:
                self._watch.notify()


def _enter_script(root: Path, directory: Path) -> str:
    """Shell text: bind the agent's directory into the root and become baresip there.

    `stdbuf -oL`, because the trace is read from a pipe while the call goes on.
    """
    quoted_root, quoted_directory = shlex.quote(str(root.resolve())), shlex.quote(str(directory.resolve()))
    return (
        f"mount --bind {quoted_directory} {quoted_root}{_SEEN_AS} && "
        f"exec chroot {quoted_root} /usr/bin/stdbuf -oL /usr/bin/baresip -s -f {_SEEN_AS}"
    )
