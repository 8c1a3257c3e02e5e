from __future__ import annotations

import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, Literal

import falcon.testing
import pytest
from argon2 import PasswordHasher

from crm_api.adapters.password_hashing import AT_ONCE, HashingBusyError, PasswordHashing
from crm_api.resources.client_address import client_address
from crm_api.services.login_gate import (
    KNOWN_MS,
    MOST_FROM_ADDRESS,
    MOST_FROM_SITE,
    MOST_HERE,
    MOST_OF_LOGIN,
    WINDOW_MS,
    LoginGate,
    TooManyLoginsError,
    network_of,
)
from crm_api.services.sessions import SESSION_MS
from tests.unit.crm.conftest import Api, must_be_as_declared
from tests.unit.crm.test_access import PASSWORD, log_in, person, staff

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town


def refused(context: Context, login: str, address: str) -> int:
    """Return how long to wait, 0 when it is let in."""
    try:
        LoginGate(context).enter(login, address)
    except TooManyLoginsError as error:
        return error.wait_s
    return 0


def test_a_login_gives_a_session_that_ends_by_itself_or_by_logging_out(town: Town, clock: Clock) -> None:
    staff(town)
    session = log_in(town)
    assert session["expires_at_ms"] - session["created_at_ms"] == SESSION_MS
    anna = Api(town.client, session["token"])
    anna("GET", "/v1/houses")
    anna("POST", "/v1/logout")
    anna("GET", "/v1/houses", expect=401)
    anna = person(town)
    clock.now += SESSION_MS
    anna("GET", "/v1/houses", expect=401)
    assert "ep_" in session["token"]


def test_the_answer_to_a_wrong_login_does_not_tell_what_was_wrong(town: Town) -> None:
    made = staff(town)["id"]
    town.platform("PATCH", f"/v1/staff/{made}", {"enabled": False})
    staff(town, "boris")
    answers = [
        log_in(town, "anna@homes.example", PASSWORD, 401),
        log_in(town, "boris", "a wrong pass word", 401),
        log_in(town, "nobody", PASSWORD, 401),
        log_in(town, "' OR 1=1 --", PASSWORD, 401),
    ]
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize(
    "body", [{}, {"login": "anna"}, {"login": 5, "password": ["x"]}, {"login": "anna", "password": "x", "otp": "1"}]
)
def test_a_broken_login_is_told_what_is_wrong_without_the_password(town: Town, body: Any) -> None:
    answer = town.client.simulate_post("/v1/login", json=body)
    assert answer.status_code == 422
    assert all(e["value"] in {None, "(not shown)", 5, "1"} for e in answer.json["errors"])


def test_too_many_wrong_passwords_of_one_login_from_one_address_have_to_wait(town: Town, clock: Clock) -> None:
    staff(town)
    for _ in range(MOST_HERE):
        log_in(town, password="a wrong pass word", expect=401)
    answer = town.client.simulate_post("/v1/login", json={"login": "anna@homes.example", "password": PASSWORD})
    assert answer.status_code == 429, "not even the right one is looked at"
    wait_s = int(answer.headers["retry-after"])
    assert WINDOW_MS // 1000 - 5 < wait_s <= WINDOW_MS // 1000
    clock.now += wait_s * 1000
    person(town)


def test_the_right_password_begins_the_count_anew(town: Town) -> None:
    staff(town)
    for _ in range(3):
        for _ in range(MOST_HERE - 1):
            log_in(town, password="a wrong pass word", expect=401)
        person(town)


def test_a_stranger_does_not_keep_the_owner_out_from_one_address(context: Context) -> None:
    for _ in range(MOST_HERE * 3):
        refused(context, "anna", "203.0.113.5")
    assert refused(context, "anna", "203.0.113.5") > 0
    assert refused(context, "anna", "198.51.100.7") == 0


def test_a_login_is_limited_over_all_addresses_and_an_address_over_all_logins(context: Context) -> None:
    for n in range(MOST_OF_LOGIN):
        assert refused(context, "anna", f"203.0.113.{n}") == 0
    assert refused(context, "anna", "203.0.113.200") > 0
    for n in range(MOST_FROM_ADDRESS):
        assert refused(context, f"login{n}", "198.51.100.7") == 0
    assert refused(context, "another", "198.51.100.7") > 0
    assert refused(context, "another", "198.51.100.8") == 0


def test_many_at_once_from_several_workers_are_counted(context: Context) -> None:
    let_in, start = [], threading.Barrier(12)

    def try_once() -> None:
        start.wait()
        if refused(context, "anna", "203.0.113.5") == 0:
            let_in.append(1)
        context.database.forget_connection()

    threads = [threading.Thread(target=try_once) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(let_in) <= MOST_HERE


@pytest.mark.parametrize(
    "places",
    [
        ("203.0.113.5", "203.0.113.77", "203.0.114.5"),
        ("2001:db8:1:2::5", "2001:db8:1:2:9::1", "2001:db8:1:3::5"),
        ("::ffff:203.0.113.5", "203.0.113.77", "::203.0.113.5"),
    ],
)
def test_strangers_do_not_keep_the_owner_out_of_where_he_has_logged_in(
    town: Town, context: Context, clock: Clock, places: tuple[str, str, str]
) -> None:
    home, near, far = places

    def answer(address: str, password: str = PASSWORD) -> int:
        body = {"login": "Anna@homes.example", "password": password}
        return int(town.client.simulate_post("/v1/login", json=body, remote_addr=address).status_code)

    def strangers() -> None:
        while refused(context, "anna@homes.example", f"198.51.100.{clock() % 250}") == 0:
            pass

    staff(town)
    assert answer(home) == 201
    strangers()
    assert (answer(near), answer(far)) == (201, 429)
    assert [answer(near, "a wrong pass word") for _ in range(MOST_HERE + 1)] == [401] * MOST_HERE + [429]
    clock.now += KNOWN_MS
    strangers()
    assert answer(near) == 429, "that was long ago"


def test_a_site_of_ipv6_is_limited_over_all_its_networks(context: Context) -> None:
    for n in range(MOST_FROM_SITE):
        assert refused(context, f"login{n}", f"2001:db8:1:{n:x}::1") == 0
    assert refused(context, "another", "2001:db8:1:ffff::1") > 0
    assert refused(context, "another", "2001:db8:2:ffff::1") == 0


class SlowHasher(PasswordHasher):
    """Takes until it is let go."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.began = threading.Semaphore(0)
        self.let_go = threading.Event()

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - argon2's name
        self.began.release()
        assert self.let_go.wait(60)
        return super().verify(hash, password)


@pytest.fixture
def hasher(context: Context, monkeypatch: pytest.MonkeyPatch) -> SlowHasher:
    hasher = SlowHasher()
    monkeypatch.setattr(context.passwords, "_hasher", hasher)
    return hasher


@pytest.fixture
def answered_while_others_hash(
    town: Town, context: Context, hasher: SlowHasher, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Any]:
    """Log in while every turn to hash is taken, in a thread that leaves no connection behind."""
    monkeypatch.setattr("crm_api.adapters.password_hashing.WAIT_S", 0.01)

    def posted() -> Any:
        try:
            return town.client.simulate_post("/v1/login", json={"login": "anna@homes.example", "password": PASSWORD})
        finally:
            context.database.forget_connection()

    def answered() -> Any:
        with ThreadPoolExecutor(AT_ONCE + 1) as pool:
            try:
                hashing = [pool.submit(context.passwords.matches, None, "x") for _ in range(AT_ONCE)]
                for _ in hashing:
                    assert hasher.began.acquire(timeout=30)
                return pool.submit(posted).result(10)
            finally:
                hasher.let_go.set()

    return answered


def test_logins_do_not_queue_up_in_the_threads_that_others_need(
    town: Town, database: CrmDatabase, answered_while_others_hash: Callable[[], Any]
) -> None:
    staff(town)
    answer = answered_while_others_hash()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    must_be_as_declared(town.client, "POST", "/v1/login", answer)
    assert database.row("SELECT count(*) FROM login_attempts") == (0,), "it was looked at by nobody"
    person(town)


def test_who_is_barred_takes_no_turn_from_others(
    context: Context, answered_while_others_hash: Callable[[], Any]
) -> None:
    """He would be told so again and again, and nobody else would have a turn."""
    gate = LoginGate(context)
    for _ in range(MOST_HERE):
        gate.enter("anna@homes.example", "127.0.0.1")
    assert answered_while_others_hash().status_code == 429


def test_one_waits_for_its_turn_to_hash(context: Context, hasher: SlowHasher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crm_api.adapters.password_hashing.WAIT_S", 60.0)
    with ThreadPoolExecutor(AT_ONCE + 2) as pool:
        try:
            hashing = [pool.submit(context.passwords.matches, None, "x") for _ in range(AT_ONCE + 2)]
            done, others = wait(hashing, 30, FIRST_COMPLETED)
            assert [type(one.exception()) for one in done] == [HashingBusyError]
        finally:
            hasher.let_go.set()
        assert [one.result(30) for one in others] == [False] * (AT_ONCE + 1)


def test_what_was_typed_as_login_is_not_kept(context: Context, database: CrmDatabase) -> None:
    refused(context, "my password by mistake", "203.0.113.5")
    assert "mistake" not in str(database.rows("SELECT * FROM login_attempts"))


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("unknown", "unknown"),
    ],
)
def test_an_address_of_ipv6_is_a_customers_whole_network(address: str, counted_as: str) -> None:
    assert network_of(address) == counted_as


@pytest.mark.parametrize(
    ("remote", "forwarded", "client"),
    [
        ("203.0.113.5", None, "203.0.113.5"),
        ("203.0.113.5", "198.51.100.7", "203.0.113.5"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", None, "10.0.0.1"),
    ],
)
def test_only_our_proxies_are_believed(remote: str, forwarded: str | None, client: str) -> None:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    req = falcon.Request(falcon.testing.create_environ(remote_addr=remote, headers=headers))
    assert client_address(req, {"10.0.0.1", "10.0.0.2"}) == client


def test_ones_own_password_is_changed_with_the_current_one_and_ends_other_sessions(
    town: Town, database: CrmDatabase
) -> None:
    staff(town)
    elsewhere, anna = person(town), person(town)
    new = "another long pass phrase"
    anna("POST", "/v1/me/password", {"current": "not the current", "password": new}, 422)
    anna("POST", "/v1/me/password", {"current": PASSWORD, "password": "short"}, 422)
    anna("POST", "/v1/me/password", {"current": PASSWORD, "password": new})
    anna("GET", "/v1/me")
    elsewhere("GET", "/v1/me", expect=401)
    log_in(town, password=PASSWORD, expect=401)
    person(town, password=new)
    assert new not in str(database.rows("SELECT * FROM audit_log"))
    town.platform("POST", "/v1/me/password", {"current": PASSWORD, "password": new}, 422)


def test_an_admin_gives_a_new_password_and_all_sessions_end(town: Town) -> None:
    made = staff(town)["id"]
    anna = person(town)
    given = town.platform("POST", f"/v1/staff/{made}/reset-password")["password"]
    anna("GET", "/v1/me", expect=401)
    log_in(town, expect=401)
    person(town, password=given)


def test_sessions_are_listed_and_ended_by_an_admin(town: Town) -> None:
    made = staff(town)["id"]
    anna = person(town)
    sessions = town.platform("GET", f"/v1/sessions?principal_id={made}")["items"]
    assert [s["principal_id"] for s in sessions] == [made]
    town.platform("DELETE", f"/v1/sessions/{sessions[0]['id']}")
    anna("GET", "/v1/me", expect=401)


def test_a_hash_of_former_costs_is_renewed_at_the_next_login(town: Town, database: CrmDatabase) -> None:
    made = staff(town)["id"]
    former = PasswordHashing(PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)).hashed(PASSWORD)
    database.rows("UPDATE principals SET password_hash = ? WHERE id = ?", (former, made))
    person(town)
    assert database.row("SELECT password_hash FROM principals WHERE id = ?", (made,)) != (former,)
    person(town)


def test_a_hash_that_is_none_lets_nobody_in() -> None:
    hashing = PasswordHashing(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    assert not hashing.matches("no hash", PASSWORD)
    assert not hashing.matches(None, "nobody has this password")
    assert hashing.matches(hashing.hashed("\ud800 odd but typed"), "\ud800 odd but typed")
