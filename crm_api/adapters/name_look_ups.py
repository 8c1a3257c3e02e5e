"""Looks names up beside whoever waits for an address: a DNS that hangs holds up him alone.

`getaddrinfo` cannot be told to end, and takes half a minute when no name server answers. Its threads are nobody
else's, and nobody waits for them: neither the end of an event loop nor that of the process.
"""

from __future__ import annotations

import socket
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

Addresses = list[str]


class TooManyLookUpsError(OSError):
    """So many names of one owner are being looked up that this one is not."""


class NameLookUps:
    """Look-ups under way; a name is looked up once at a time for each owner, whoever else asks waits for the same.

    Args:
        most_of_one: look-ups of one owner at once; what hangs takes room of its owner alone.
    """

    def __init__(self, most_of_one: int) -> None:
        self._most_of_one = most_of_one
        self._lock = threading.Lock()
        self._under_way: dict[Hashable, dict[str, Future[Addresses]]] = {}

    def begin(self, name: str, owner: Hashable) -> Future[Addresses]:
        """Return the addresses to come: of a name of this owner, or an `OSError` or `UnicodeError` that says why not.

        Raises:
            TooManyLookUpsError: so many others of the owner hang.
        """
        with self._lock:
            of_owner = self._under_way.setdefault(owner, {})
            found = of_owner.get(name)
            if found is not None:
                return found
            if len(of_owner) >= self._most_of_one:
                raise TooManyLookUpsError(f"{len(of_owner)} look-ups of other names are under way")
            looking = of_owner[name] = Future()
            looking.set_running_or_notify_cancel()  # who gives up waiting cancels nobody else's look-up
        try:
            threading.Thread(target=self._look, args=(name, owner, looking), name="look-up", daemon=True).start()
        except RuntimeError as error:  # the machine gives no more threads
            self._end(name, owner)
            looking.set_exception(TooManyLookUpsError(str(error)))
        return looking

    def _look(self, name: str, owner: Hashable, looking: Future[Addresses]) -> None:
        found: Addresses = []
        wrong: Exception | None = None
        try:
            found = [str(line[4][0]) for line in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            wrong = error
        self._end(name, owner)
        if wrong is None:
            looking.set_result(found)
        else:
            looking.set_exception(wrong)

    def _end(self, name: str, owner: Hashable) -> None:
        with self._lock:
            of_owner = self._under_way[owner]
            del of_owner[name]
            if not of_owner:
                del self._under_way[owner]
