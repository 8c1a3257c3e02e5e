"""Numbers come from a Twilio account: asked as Twilio wants to be asked, read to the last page, taken whole or not."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from crm_api.adapters.twilio_numbers import ElsewhereError, TwilioNumberSource
from tests.unit.crm.test_emergency import city_of, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_api.bootstrap import Services
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Town

ACCOUNT, TOKEN = "AC" + "1" * 32, "t" * 20
PATH = f"/2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers.json"


class TwilioAccount:
    """Stands for Twilio: one account with some numbers. What Twilio would not be asked is kept in `misunderstood`."""

    def __init__(self) -> None:
        self.numbers: list[dict[str, Any]] = []
        self.page_size = 2
        self.misunderstood: list[str] = []
        self.status: int | None = None

    def answer(self, target: str, authorization: str) -> tuple[int, dict[str, Any]]:
        """Answer a GET as Twilio's REST API of 2010 does."""
        url = urlsplit(target)
        right = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
        if self.status is not None:
            return self.status, {"code": 20500, "message": "Internal Server Error", "status": self.status}
        if authorization != f"Basic {right}" or ACCOUNT not in url.path:
            return 401, {"code": 20003, "message": "Authenticate", "status": 401}
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path != PATH or not set(query) <= {"Page", "PageSize", "PageToken"}:
            self.misunderstood.append(target)
            return 404, {"code": 20404, "message": "not found", "status": 404}
        page = int(query.get("Page", "0"))
        first = page * self.page_size
        last = first + self.page_size
        following = f"{PATH}?PageSize={self.page_size}&Page={page + 1}&PageToken=PA{page + 1}"
        return 200, {
            "incoming_phone_numbers": self.numbers[first:last],
            "page": page,
            "page_size": self.page_size,
            "next_page_uri": following if last < len(self.numbers) else None,
        }


@pytest.fixture
def account() -> TwilioAccount:
    return TwilioAccount()


@pytest.fixture
def url(account: TwilioAccount) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, document = account.answer(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(60)
    server.server_close()


def line(e164: str, *, voice: bool = True) -> dict[str, Any]:
    capabilities = {"voice": voice, "sms": True, "mms": False, "fax": False}
    return {"sid": "PN" + e164[-1] * 32, "phone_number": e164, "capabilities": capabilities}


def test_the_stand_in_refuses_what_twilio_would_refuse(account: TwilioAccount) -> None:
    right = "Basic " + base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
    assert account.answer(PATH, "")[0] == 401
    assert account.answer(PATH.replace("1111", "2222", 1), right)[0] == 401
    assert account.answer(PATH + "?Everything=1", right)[0] == 404
    assert account.misunderstood == [PATH + "?Everything=1"]
    assert account.answer(PATH, right)[0] == 200


def test_every_page_is_read_and_what_carries_no_voice_is_left(account: TwilioAccount, url: str) -> None:
    account.numbers = [line(f"+749511100{index:02}", voice=index != 1) for index in range(5)]
    found = TwilioNumberSource(url).numbers(ACCOUNT, TOKEN)
    assert found == ["+74951110000", "+74951110002", "+74951110003", "+74951110004"]
    assert account.misunderstood == []


@pytest.mark.parametrize(("token", "status"), [("wrong" * 4, None), (TOKEN, 500)])
def test_an_account_that_tells_nothing_is_said_so(
    account: TwilioAccount, url: str, token: str, status: int | None
) -> None:
    account.status = status
    with pytest.raises(ElsewhereError, match=ACCOUNT):
        TwilioNumberSource(url).numbers(ACCOUNT, token)


def test_a_twilio_that_is_away_is_said_so() -> None:
    with pytest.raises(ElsewhereError, match="did not tell"):
        TwilioNumberSource("http://127.0.0.1:1").numbers(ACCOUNT, TOKEN)


@pytest.fixture
def imports(services: Services, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API asks the stand-in."""
    monkeypatch.setattr(services.twilio_numbers, "_base_url", url)


@pytest.mark.usefixtures("imports")
def test_a_city_takes_an_accounts_numbers_or_none_of_them(
    town: Town, database: CrmDatabase, account: TwilioAccount
) -> None:
    account.numbers = [line(f"+749511100{index:02}") for index in range(3)]
    path = f"/v1/cities/{city_of(database)}/twilio-numbers"
    wish = {"account_sid": ACCOUNT, "token": TOKEN, "trunk": "twilio"}
    assert town.platform("POST", path, {**wish, "dry_run": True})["made"] == 3
    assert town.platform("GET", "/v1/city-numbers")["items"] == []
    number(town, database, "+74951110001")
    assert town.platform("POST", path, wish) == {"made": 2, "unchanged": 1, "dry_run": False, "problems": []}
    assert {n["trunk"] for n in town.platform("GET", "/v1/city-numbers")["items"]} == {"twilio", "city-line"}

    hillside = town.platform("POST", "/v1/cities", {"name": "Hillside"})["id"]
    account.numbers.append(line("+78431110000"))
    told = town.platform("POST", f"/v1/cities/{hillside}/twilio-numbers", wish)
    assert (told["made"], [(p["row"], p["column"], p["value"]) for p in told["problems"]]) == (
        0, [(1, "number", "+74951110000"), (2, "number", "+74951110001"), (3, "number", "+74951110002")],
    )  # fmt: skip
    assert TOKEN not in str(town.platform("GET", "/v1/audit")["items"])
    town.platform("POST", path, {**wish, "token": "wrong" * 4}, 502)
    assert account.misunderstood == []
