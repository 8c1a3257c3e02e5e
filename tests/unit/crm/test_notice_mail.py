"""A mail of an emergency call, taken by a server that speaks SMTP and read by the standard library."""

from __future__ import annotations

import datetime as dt
import socketserver
import ssl
import sys
import threading
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from crm_api.adapters.notice_senders import MailSender, SendError
from crm_api.services.notice_delivery import NoticeDelivery
from tests.unit.crm.test_emergency import centre
from tests.unit.crm.test_emergency_recording import OUT, told

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Town


class MailServer(socketserver.ThreadingTCPServer):
    """Takes mail (RFC 5321, what a client without extensions says); refuses the recipients in `refused`.

    With a certificate in `tls` it speaks TLS, from the start or (`offers_tls`) after STARTTLS; of who `takes_passwords`
    any will do.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.tls: ssl.SSLContext | None = None
        self.offers_tls = self.takes_passwords = False
        self.told: list[str] = []
        self.taken: list[tuple[str, list[str], bytes]] = []
        self.refused: set[str] = set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that hangs up as it does not trust us."""
        if not isinstance(sys.exception(), ssl.SSLError):
            super().handle_error(request, client_address)


class _Session(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        sender = ""
        recipients: list[str] = []
        if self.server.tls is not None and not self.server.offers_tls:
            self._encrypt()
        self._say("220 here")
        while line := self.rfile.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            self.server.told.append(verb.upper())
            if verb.upper() in {"EHLO", "STARTTLS", "AUTH"}:
                self._extend(verb.upper())
            elif verb.upper() in {"HELO", "RSET"}:
                self._say("250 well")
            elif verb.upper() == "MAIL":
                sender, recipients = rest.partition("<")[2].partition(">")[0], []
                self._say("250 well")
            elif verb.upper() == "RCPT":
                to = rest.partition("<")[2].partition(">")[0]
                recipients.append(to)
                self._say("550 no such box" if to in self.server.refused else "250 well")
            elif verb.upper() == "DATA":
                self._say("354 go on")
                self.server.taken.append((sender, recipients, self._text()))
                self._say("250 taken")
            elif verb.upper() == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("502 not here")

    def _extend(self, verb: str) -> None:
        """Answer what only a server with extensions understands."""
        if not self.server.takes_passwords:
            self._say("502 not here")
        elif verb == "STARTTLS":
            self._say("220 go on")
            self._encrypt()
        elif verb == "AUTH":
            self._say("235 well")
        else:
            self._say("250-here")
            if self.server.offers_tls and not isinstance(self.request, ssl.SSLSocket):
                self._say("250-STARTTLS")
            self._say("250 AUTH PLAIN")

    def finish(self) -> None:
        super().finish()
        if isinstance(self.request, ssl.SSLSocket):  # the server knows of the plain one
            self.request.close()

    def _encrypt(self) -> None:
        assert self.server.tls is not None
        self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        self.setup()

    def _text(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        return b"".join(lines)

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@pytest.fixture
def server() -> Iterator[MailServer]:
    server = MailServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join(60)
    server.server_close()


def sender_to(server: MailServer, scheme: str = "smtp", user: str = "", host: str = "127.0.0.1") -> MailSender:
    return MailSender(f"{scheme}://{user}{host}:{server.server_address[1]}", "112@entryphone.example")


def certificate(directory: Path, host: str = "localhost") -> Path:
    """Make a key and a certificate for a host, signed by nobody else; both in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    kept = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = directory / f"{host}.pem"
    file.write_bytes(kept + made.public_bytes(pem))
    return file


def encrypts(server: MailServer, file: Path, *, after_starttls: bool = False) -> None:
    server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.tls.load_cert_chain(file)
    server.offers_tls, server.takes_passwords = after_starttls, True


def send(sender: MailSender) -> None:
    sender.send("duty@112.example", {"event": "emergency_call", "entrance_code": "40719"}, None)


def test_the_centre_gets_address_map_and_entrance_code_by_mail(
    town: Town, database: CrmDatabase, context: Context, server: MailServer
) -> None:
    centre(town, database, email="duty@112.example")
    town.platform("PATCH", f"/v1/houses/{town.house}", {"latitude": 55.5, "longitude": 37.25})
    code = town.platform("POST", "/v1/access-codes", {"entrance_id": town.entrance})["code"]
    told(context, *OUT)
    assert NoticeDelivery(context, {"email": sender_to(server)}).deliver() == 1
    ((sender, recipients, data),) = server.taken
    mail: Any = message_from_bytes(data, policy=policy.default)
    assert (sender, recipients, mail["To"]) == ("112@entryphone.example", ["duty@112.example"], "duty@112.example")
    assert mail["Subject"] == "112: emergency call"
    text = mail.get_content()
    for part in ("Lenina 1", "mlat=55.5&mlon=37.25", code, "+74951110001"):
        assert part in text


def test_a_box_that_is_none_is_said_so(server: MailServer) -> None:
    server.refused.add("nobody@112.example")
    with pytest.raises(SendError, match=r"nobody@112\.example"):
        sender_to(server).send("nobody@112.example", {"event": "emergency_call"}, None)
    assert server.taken == []


@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
def test_a_password_goes_to_a_server_whose_certificate_is_right(
    server: MailServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    file = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    encrypts(server, file, after_starttls=scheme == "smtp")
    send(sender_to(server, scheme, "mailer:hunter2@", "localhost"))
    assert len(server.taken) == 1
    assert server.told.index("STARTTLS" if scheme == "smtp" else "EHLO") < server.told.index("AUTH")


@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
@pytest.mark.parametrize("wrong", ["nobody knows it", "another host's"])
def test_a_server_with_a_wrong_certificate_gets_neither_password_nor_mail(
    server: MailServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, wrong: str
) -> None:
    file = certificate(tmp_path, "localhost" if wrong == "nobody knows it" else "elsewhere.example")
    if wrong == "another host's":
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    encrypts(server, file, after_starttls=scheme == "smtp")
    with pytest.raises(SendError, match="CERTIFICATE_VERIFY_FAILED"):
        send(sender_to(server, scheme, "mailer:hunter2@", "localhost"))
    assert (server.taken, "AUTH" in server.told) == ([], False)


def test_no_password_is_sent_in_clear(server: MailServer) -> None:
    server.takes_passwords = True
    with pytest.raises(SendError, match=r"offers no STARTTLS.*smtps://"):
        send(sender_to(server, user="mailer:hunter2@"))
    assert (server.taken, "AUTH" in server.told) == ([], False)
