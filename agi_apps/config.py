"""Settings of the FastAGI server: `agi.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

Positive = Annotated[float, msgspec.Meta(gt=0)]


class AgiConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`agi.json`. Only `agi_address`, `redis_url`, `crm_url`, `crm_token` and `store_path` have no default.

    agi_address: `host:port` to listen on; `GET /health` is answered there, too.
    workers: processes.
    calls_per_worker: AGI connections served at once by one process, a thread each; more wait in the kernel's queue.
    redis_url: `redis://[:password@]host:port[/database]`.
    crm_url, crm_token: base URL of the CRM and the service token sent as Bearer.
    store_path: SQLite file for last known plans and spooled events; absolute.
    permission_fresh_s: how long a permission to open a door stands without the CRM.
    redis_timeout_s: longest wait for Redis on the path of a call.
    crm_timeout_s: longest wait for a ring plan from the CRM.
    lease_timeout_s: longest wait of an emergency call for a number from the CRM.
    opening_timeout_s: longest time the CRM's panel driver may take.
    opening_wait_s: longest wait for it before the resident hears the tone.
    drain_timeout_s: longest wait for running applications on SIGTERM.
    """

    agi_address: str
    redis_url: str
    crm_url: str
    crm_token: str
    store_path: str
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    calls_per_worker: Annotated[int, msgspec.Meta(ge=1)] = 256
    permission_fresh_s: Annotated[int, msgspec.Meta(ge=0)] = 300
    redis_timeout_s: Positive = 0.15
    crm_timeout_s: Positive = 1.5
    lease_timeout_s: Positive = 0.15
    opening_timeout_s: Positive = 10.0
    opening_wait_s: Positive = 0.5
    drain_timeout_s: Positive = 10.0

    def listen_on(self) -> tuple[str, int]:
        """Host and port of `agi_address`."""
        host, _, port = self.agi_address.rpartition(":")
        return host, int(port)


class InvalidConfig(Exception):  # noqa: N818 - states the fact
    """The settings cannot be used."""


def load_config(path: Path) -> AgiConfig:
    """Read `agi.json`.

    Raises:
        InvalidConfig: with field, value and remedy.
    """
    try:
        config = msgspec.json.decode(path.read_bytes(), type=AgiConfig)
    except OSError as error:
        raise InvalidConfig(f"{path}: {error.strerror}; pass the file with --config") from error
    except msgspec.MsgspecError as error:
        raise InvalidConfig(f"{path}: {error}") from error
    host, _, port = config.agi_address.rpartition(":")
    if not host or not port.isdigit():
        raise InvalidConfig(f"{path}: agi_address is {config.agi_address!r}, must be host:port")
    if not Path(config.store_path).is_absolute():
        raise InvalidConfig(f"{path}: store_path is {config.store_path!r}, must be absolute")
    return config
