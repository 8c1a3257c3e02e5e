"""How PostgreSQL is reached is what `database_url` says: no weaker way is taken without a word."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from crm_api.tables.database import CrmDatabase, DatabaseErrors
from crm_api.tables.models import DATABASE

if TYPE_CHECKING:
    from collections.abc import Iterator

SSL_REQUEST = bytes.fromhex("00000008 04d2162f")
"""What a client begins with that would like TLS (PostgreSQL's manual, 55.7); `N` is a no."""


@pytest.fixture
def opened_before() -> Iterator[None]:
    """Give the tables back to the database that had them."""
    before = DATABASE.obj
    yield
    DATABASE.initialize(before)


@pytest.mark.usefixtures("opened_before")
def test_a_mode_and_an_authority_are_handed_on() -> None:
    database = CrmDatabase("postgresql://u:p@db.example/crm?sslmode=verify-full&sslrootcert=/etc/my%20ca.pem")
    given = database.peewee.connect_params
    assert (given["sslmode"], given["sslrootcert"]) == ("verify-full", "/etc/my ca.pem")
    assert "sslmode" not in CrmDatabase("postgresql://u:p@db.example/crm").peewee.connect_params


@pytest.mark.usefixtures("opened_before")
@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_a_server_without_tls_is_told_nothing(mode: str) -> None:
    def refuse() -> bytes:
        client, _ = listener.accept()
        with client:
            assert client.recv(len(SSL_REQUEST)) == SSL_REQUEST
            client.sendall(b"N")
            return client.recv(100)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(30)
        told = pool.submit(refuse)
        port = listener.getsockname()[1]
        query = f"sslmode={mode}" + ("&sslrootcert=system" if mode == "verify-full" else "")
        with pytest.raises(DatabaseErrors, match="server does not support SSL, but SSL was required"):
            CrmDatabase(f"postgresql://u:geheim@127.0.0.1:{port}/crm?{query}").ping()
        assert told.result(30) == b""
