"""How panels of different makers are told to open a door over HTTP.

A driver answers only for what the panel confirmed: an opening that was refused, or not answered in time, is an error.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import urllib3
import urllib3.connection

from crm_api.adapters.name_look_ups import NameLookUps
from crm_api.domain.network_addresses import address_of, may_be_device

if TYPE_CHECKING:
    from crm_api.domain.network_addresses import Networks

LOOK_UP_S: Final = 2.0
LOOK_UPS_OF_ONE: Final = 50
"""Of one company at once: what hangs of its names holds up its devices alone."""
MOST_ADDRESSES: Final = 2
"""Of a name: each may take the time of a connection."""
CONNECT_TIMEOUT_S: Final = 1.0
ANSWER_TIMEOUT_S: Final = 2.0
OK: Final = 200
TOO_OLD: Final = "it was asked for too long ago"
NEVER_S: Final = math.inf
LASTS_S: Final = 6.0
"""To the last header, and from there to the last byte: a panel that says a byte now and then holds nobody up."""
PIECE_BYTES: Final = 64 * 1024
MAX_ANSWER_BYTES: Final = 4096
MAX_PICTURE_BYTES: Final = 2 * 1024 * 1024
JPEG: Final = b"\xff\xd8"
NEVER_ASKED: Final = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.LocationParseError,
)
"""Errors of connections that were not made."""
_look_ups = NameLookUps(LOOK_UPS_OF_ONE)


class PanelRefusedError(Exception):
    """The panel did not open; the sentence says why."""


class PanelSilentError(PanelRefusedError):
    """The panel was asked and did not say what it did: its door may have opened."""


@dataclass(frozen=True)
class PanelAccess:
    """Where a panel is and how to log in. `address` is a host or host:port.

    `company_id`: who has chosen the address; what hangs of its names holds up its devices alone. None: the host for
    itself.
    """

    address: str
    user: str | None
    password: str | None
    company_id: int | None = None


class PanelDriver(Protocol):
    """Opens doors of one maker's panels."""

    def open_door(self, access: PanelAccess, output: int, until_s: float = NEVER_S) -> None:
        """Open the door on this output; raise `PanelRefusedError` unless the panel says it has.

        `PanelSilentError` when nobody knows whether it has. A panel that is reached later than `until_s` (monotonic
        seconds) is not asked.
        """

    def picture(self, access: PanelAccess) -> bytes:
        """Return a JPEG of what the panel sees; raise `PanelRefusedError` when it gives none."""


class _NoDeviceError(urllib3.exceptions.NewConnectionError):
    """There is an address, and no device may have it."""


class _TooLateError(urllib3.exceptions.NewConnectionError):
    """The device is reached, and whoever wanted something of it has left."""


class _Connection(urllib3.connection.HTTPConnection):
    """A connection that is cut when its headers have not come in time; the read timeout bounds each byte alone.

    It goes where a device may be: customers choose the addresses. The one that is judged is the one connected to.
    """

    def __init__(
        self, *arguments: Any, networks: Networks, company_id: int | None, until_s: float, **more: Any
    ) -> None:
        super().__init__(*arguments, **more)
        self._networks = networks
        self._company_id = company_id
        self._until_s = until_s

    def send(self, data: Any) -> None:
        """Send a request, unless it has become too late for it while its device was looked for."""
        if self.sock is None:
            self.connect()
        if time.monotonic() > self._until_s:
            raise _TooLateError(self, TOO_OLD)
        super().send(data)

    def _new_conn(self) -> socket.socket:
        found = self._addresses()
        allowed = [address for address in found if self._may_be_device(address)]
        if not allowed:
            raise _NoDeviceError(self, f"{found[0]} is no device's address")
        wrong: OSError | None = None
        for address in allowed[:MOST_ADDRESSES]:
            try:
                return _connected(address, self.port)
            except OSError as error:
                wrong = error
        if isinstance(wrong, TimeoutError):
            raise urllib3.exceptions.ConnectTimeoutError(self, "no connection in time") from wrong
        raise urllib3.exceptions.NewConnectionError(self, str(wrong)) from wrong

    def _may_be_device(self, address: str) -> bool:
        return may_be_device(address, self._networks) and (
            not is_of_this_host(address) or any(address_of(address) in network for network in self._networks)
        )

    def _addresses(self) -> list[str]:
        """Look the name up, for a while: a DNS that hangs holds a thread of its own, and not that of a request."""
        name = self.host
        with contextlib.suppress(ValueError):
            return [str(address_of(name))]
        try:
            return _look_ups.begin(name, name if self._company_id is None else self._company_id).result(LOOK_UP_S)
        except TimeoutError as error:
            raise urllib3.exceptions.ConnectTimeoutError(self, "DNS says nothing") from error
        except (OSError, UnicodeError) as error:
            raise urllib3.exceptions.NewConnectionError(self, str(error)) from error

    def getresponse(self) -> Any:
        """Wait for the headers."""
        late = threading.Event()

        def cut(connected: socket.socket) -> None:
            late.set()
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

        ends = threading.Timer(LASTS_S, cut, (self.sock,))
        ends.daemon = True
        ends.start()
        try:
            response = super().getresponse()
        finally:
            ends.cancel()
        if late.is_set():
            response.close()
            raise TimeoutError
        return response


def is_of_this_host(address: str) -> bool:
    """Tell whether what is sent there stays here: whatever listens on an address of this host is no device.

    Nothing is sent for it: a socket without a connection only looks for its way.
    """
    with socket.socket(_family(address), socket.SOCK_DGRAM) as way:
        try:
            way.connect((address, 9))
        except OSError:
            return False  # there is no way at all, as the connection will tell
        return address_of(str(way.getsockname()[0])) == address_of(address)


def _connected(address: str, port: int) -> socket.socket:
    # Not socket.create_connection, which looks up once more whatever it is given.
    way = socket.socket(_family(address))
    try:
        way.settimeout(CONNECT_TIMEOUT_S)
        way.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        way.connect((address, port))
    except BaseException:
        way.close()
        raise
    return way


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class _Connections(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class PanelHttp:
    """One GET with basic authentication, a bound on time and on the size of the answer, no redirects, no retries.

    No retry: a relay command whose answer was lost may have opened the door already.

    Args:
        networks: where devices may be besides, such as 127.0.0.0/8 in a lab.
    """

    def __init__(self, networks: Networks = ()) -> None:
        self._networks = networks

    def get(self, access: PanelAccess, path: str, told_path: str = "", until_s: float = NEVER_S) -> str:
        """Return the body of a 200 answer as text.

        Errors name `told_path`, when the path holds a secret. Later than `until_s` (monotonic) nothing is sent.
        """
        return self.read(access, path, MAX_ANSWER_BYTES, told_path, until_s).decode("utf-8", "replace")

    def picture(self, access: PanelAccess, path: str) -> bytes:
        """Return the JPEG of a 200 answer."""
        body = self.read(access, path, MAX_PICTURE_BYTES + 1)
        if not body.startswith(JPEG) or len(body) > MAX_PICTURE_BYTES:
            raise PanelRefusedError(f"the panel at {access.address} answered {path} with no picture")
        return body

    def read(
        self, access: PanelAccess, path: str, most_bytes: int, told_path: str = "", until_s: float = NEVER_S
    ) -> bytes:
        """Return the beginning of the body of a 200 answer."""
        headers = {"Connection": "close"}
        if access.user is not None:
            headers.update(
                urllib3.make_headers(basic_auth=f"{access.user}:{access.password or ''}", basic_auth_encoding="utf-8")
            )
        url = f"http://{access.address}{path}"
        try:
            with self._pool(access, until_s) as pool:
                response = pool.request("GET", url, headers=headers, redirect=False, preload_content=False)
                try:
                    body = _body(response, most_bytes)
                finally:
                    response.close()
        except _TooLateError as error:
            raise PanelRefusedError(TOO_OLD) from error
        except _NoDeviceError as error:
            remedy = "give the device's own address, or name its network in device_networks (crm.json)"
            raise PanelRefusedError(f"the panel at {access.address} was not asked: {error}; {remedy}") from error
        except urllib3.exceptions.HTTPError as error:
            reason = f"the panel at {access.address} did not answer ({type(error).__name__}): check its network"
            raise (PanelRefusedError if isinstance(error, NEVER_ASKED) else PanelSilentError)(reason) from error
        if response.status != OK:
            told = told_path or path
            raise PanelRefusedError(
                f"the panel at {access.address} answered {response.status} to {told}: check its credentials and model"
            )
        return body

    def _pool(self, access: PanelAccess, until_s: float) -> urllib3.PoolManager:
        """Return what makes the one connection of one request: no connection is used twice."""
        pool = urllib3.PoolManager(
            retries=False, timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=ANSWER_TIMEOUT_S)
        )
        made = partial(_Connections, networks=self._networks, company_id=access.company_id, until_s=until_s)
        pool.pool_classes_by_scheme = {"http": made}  # type: ignore[dict-item]
        return pool


def _body(response: urllib3.BaseHTTPResponse, most_bytes: int) -> bytes:
    """Return the beginning of a body, as far as it comes in time."""
    until_s = time.monotonic() + LASTS_S
    body = b""
    while len(body) < most_bytes:
        piece = response.read1(min(PIECE_BYTES, most_bytes - len(body)))
        if not piece:
            break
        body += piece
        if time.monotonic() > until_s:
            raise urllib3.exceptions.TimeoutError
    return body


class BewardDriver:
    """Beward DKS: `intercom_cgi`, outputs 1 and 2 are the main and the alternative lock."""

    ACTIONS: Final = {1: "maindoor", 2: "altdoor"}

    def __init__(self, networks: Networks = ()) -> None:
        self._http = PanelHttp(networks)

    def open_door(self, access: PanelAccess, output: int, until_s: float = NEVER_S) -> None:
        """Open lock 1 or 2. The panel answers 200 with a text that says OK; anything else is a refusal."""
        action = self.ACTIONS.get(output)
        if action is None:
            raise PanelRefusedError(f"output {output}: a Beward panel opens outputs 1 and 2")
        answer = self._http.get(access, f"/cgi-bin/intercom_cgi?action={action}", until_s=until_s).strip()
        if answer.upper() != "OK":
            raise PanelRefusedError(not_as_it_should(access, answer, "OK"))

    def picture(self, access: PanelAccess) -> bytes:
        """Return the camera's picture."""
        return self._http.picture(access, "/cgi-bin/images_cgi?channel=0")


class GenericDriver:
    """A plain HTTP relay: `GET /relay/<output>/open`, opened when it answers 200."""

    def __init__(self, networks: Networks = ()) -> None:
        self._http = PanelHttp(networks)

    def open_door(self, access: PanelAccess, output: int, until_s: float = NEVER_S) -> None:
        """Open the relay."""
        self._http.get(access, f"/relay/{output}/open", until_s=until_s)

    def picture(self, access: PanelAccess) -> bytes:
        """Return the picture at `/picture.jpg`."""
        return self._http.picture(access, "/picture.jpg")


def not_as_it_should(access: PanelAccess, answer: str, expected: str) -> str:
    """Return the sentence about an answer; not the answer, for whoever chose the address may not know the server."""
    return f"the panel at {access.address} answered {len(answer)} other characters instead of {expected}"


def panel_drivers(networks: Networks = ()) -> dict[str, PanelDriver]:
    """Return every driver under the name it has in the panels' table; `networks` as of `PanelHttp`."""
    return {"beward": BewardDriver(networks), "generic": GenericDriver(networks)}
