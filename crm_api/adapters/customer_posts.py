"""POST to addresses that customers have chosen: bounded as a whole, no redirects, never into our own network."""

from __future__ import annotations

import asyncio
import ssl
from functools import cache
from typing import TYPE_CHECKING, Final

import httpx
import structlog

from crm_api.adapters.name_look_ups import NameLookUps
from crm_api.domain.network_addresses import is_of_internet

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from crm_api.domain.network_addresses import Networks

TIMEOUT: Final = httpx.Timeout(5.0, connect=2.0)
LOOK_UP_S: Final = 5.0
LASTS_S: Final = 10.0
"""From the look-up of the name to the head of the answer: a server that says a byte now and then holds nobody up."""
LOOK_UPS_OF_ONE: Final = 20
"""Of one owner of addresses at once: as many as he has webhooks."""
_WHOSE: Final = "whose"
_look_ups = NameLookUps(LOOK_UPS_OF_ONE)
"""Of the process: what hangs is under way still when the next pass begins."""
_log = structlog.get_logger("crm_api.customer_posts")


class NotPostedError(Exception):
    """Nobody has taken it; the sentence says why."""


class NotAnsweredError(NotPostedError):
    """Nobody has said anything: no connection, or no answer in time."""


class OutsideOnly(httpx.AsyncBaseTransport):
    """Connects to addresses of the internet, and of those networks that are named.

    The address that is judged is the one that is connected to: a name that leads elsewhere a moment later helps nobody.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, networks: Networks = ()) -> None:
        self._inner = inner
        self._networks = networks

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request on to an address of its host."""
        host = request.url.host
        try:
            looking = _look_ups.begin(host, request.extensions.get(_WHOSE, host))
            found = await asyncio.wait_for(asyncio.wrap_future(looking), LOOK_UP_S)
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"{host}: DNS says nothing", request=request) from error
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(f"{host}: {error}", request=request) from error
        address = next((text for text in found if is_of_internet(text, self._networks)), None)
        if address is None:
            raise httpx.ConnectError(f"{host} has no address on the internet", request=request)
        return await self._inner.handle_async_request(
            httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def client_of(networks: Networks) -> httpx.AsyncClient:
    """Return a client that posts to the internet and to these networks."""
    inner = httpx.AsyncHTTPTransport(verify=_trusted(), trust_env=False)
    return httpx.AsyncClient(
        transport=OutsideOnly(inner, networks), timeout=TIMEOUT, follow_redirects=False, trust_env=False
    )


async def post(
    client: httpx.AsyncClient, url: str, body: bytes, headers: Mapping[str, str], whose: Hashable = None
) -> None:
    """Post once; of the answer only the status is read.

    Args:
        client: what posts, as `client_of` makes it.
        url: where to.
        body: what.
        headers: with which headers.
        whose: who has chosen the URL; what hangs of his names holds up his posts alone. None: the host for itself.

    Raises:
        NotAnsweredError: no answer in time.
        NotPostedError: none of success.
    """
    extensions = {} if whose is None else {_WHOSE: whose}
    try:
        async with (
            asyncio.timeout(LASTS_S),
            client.stream("POST", url, content=body, headers=headers, extensions=extensions) as response,
        ):
            status = response.status_code
    except TimeoutError as error:
        raise NotAnsweredError(f"no answer within {LASTS_S:.0f} s") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotAnsweredError(str(error) or type(error).__name__) from error
    except Exception as error:  # whatever one customer's address brings about must not keep others from being told
        _log.exception("post failed", url=url)
        raise NotAnsweredError(f"{type(error).__name__}: look at the URL") from error
    if not httpx.codes.is_success(status):
        raise NotPostedError(f"HTTP {status}")


@cache
def _trusted() -> ssl.SSLContext:
    return ssl.create_default_context()  # read once: it costs more than all the rest
