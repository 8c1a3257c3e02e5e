"""A mail of an emergency call, taken by a server that speaks SMTP and read by the standard library."""

from __future__ import annotations

import socketserver
import threading
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.adapters.notice_senders import MailSender, SendError
from crm_api.services.notice_delivery import NoticeDelivery
from tests.unit.crm.test_emergency import centre
from tests.unit.crm.test_emergency_recording import OUT, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Town


class MailServer(socketserver.ThreadingTCPServer):
    """Takes mail (RFC 5321, what a client without extensions says); refuses the recipients in `refused`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.taken: list[tuple[str, list[str], bytes]] = []
        self.refused: set[str] = set()


class _Session(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        sender = ""
        recipients: list[str] = []
        self._say("220 here")
        while line := self.rfile.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            if verb.upper() in {"HELO", "RSET"}:
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
    thread.join(5)
    server.server_close()


def sender_to(server: MailServer) -> MailSender:
    return MailSender(f"smtp://127.0.0.1:{server.server_address[1]}", "112@entryphone.example")


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
