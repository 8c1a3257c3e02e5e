"""A simulated door panel: a real SIP phone (baresip), a keypad, and a door that only its own code or relay opens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lab.peers.baresip import AgentEvent, BaresipAgent
from lab.peers.relay import Fault, HttpRelay

if TYPE_CHECKING:
    from pathlib import Path

    from lab.peers.baresip_config import AgentConfig
    from lab.peers.door import Door


@dataclass
class SimulatedPanel:
    """A panel with its phone and its door. Made by `start`."""

    phone: BaresipAgent
    door: Door
    relay: HttpRelay | None = None

    @classmethod
    async def start(
        cls, config: AgentConfig, door: Door, root: Path, directory: Path, environment: dict[str, str] | None = None
    ) -> Self:
        """Switch the panel on; it registers nowhere until `phone.register()`."""
        panel = cls(await BaresipAgent.start(config, root, directory, environment), door)
        panel.phone.on_event(panel._listen)
        return panel

    async def serve_relay(self, username: str, password: str, fault: Fault = "none", port: int = 80) -> None:
        """Have the door opened by HTTP, too."""
        self.relay = await HttpRelay.start(
            self.door, self.phone.config.address, username, password, port=port, fault=fault
        )

    async def stop(self) -> None:
        """Switch the panel off."""
        if self.relay is not None:
            await self.relay.stop()
        await self.phone.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    def _listen(self, event: AgentEvent) -> None:
        if event.type == "CALL_ESTABLISHED":
            self.door.begin_call()
        elif event.type == "CALL_DTMF_START":
            self.door.hear(event.param)
