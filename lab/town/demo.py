"""The demo town: two houses of one company, a gate shared by both, and a house of another. Small and readable."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

CITY: Final = "Riverside"
DISPATCH: Final = "dispatch-riverside"
"""The city's dispatch centre: 112 rings it."""


@dataclass(frozen=True)
class Company:
    """A client company, its rules, and its houses with the numbers of their entrances.

    `language` is that of the prompts. `message_limit_s`: how long a visitor's message may be, in seconds; 0: none.
    """

    name: str
    language: str
    neighbour_calls: Literal["none", "house", "estate"]
    houses: dict[str, tuple[int, ...]]
    message_limit_s: int = 0
    records_calls: bool = False


@dataclass(frozen=True)
class Phone:
    """A device of a household: its account, its kind, and the loopback address that its simulation uses.

    `resident`: whose own it is; None: the whole household's. `quiet`: from and until which hour it keeps still.
    `wakes`: it sleeps, and a push (a signed webhook of the lab) wakes it.
    """

    account: str
    kind: Literal["handset", "indoor_unit", "app", "home_gateway"]
    address: str
    resident: str | None = None
    quiet: tuple[str, str] | None = None
    wakes: bool = False


@dataclass(frozen=True)
class MobilePhone:
    """A resident's phone, dialled through a trunk: its account, its number (E.164), and whose it is."""

    account: str
    number: str
    resident: str


@dataclass(frozen=True)
class Trunk:
    """A carrier: its name, its loopback address, what it charges, the number it lets pass."""

    name: str
    address: str
    position: int
    price_per_minute_micros: int
    caller_number: str
    login: tuple[str, str] | None = None


@dataclass(frozen=True)
class Stage:
    """A stage of a household's own ring plan; `targets` are kinds or accounts.

    `on_refusal`: what happens when everybody who rang has refused.
    """

    ring_timeout_s: int
    targets: tuple[str, ...]
    confirm: bool = False
    one_by_one: bool = False
    on_refusal: Literal["next", "stop"] = "next"


@dataclass(frozen=True)
class Household:
    """An apartment and who lives there. `note` is what a reader should know of it."""

    house: str
    entrance: int
    number: int
    note: str
    phones: tuple[Phone, ...] = ()
    stages: tuple[Stage, ...] = ()
    block: str | None = None
    mobiles: tuple[MobilePhone, ...] = ()
    residents: tuple[str, ...] = ()
    """Those with accounts of their own, in the order in which a plan may ring them."""


@dataclass(frozen=True)
class Desk:
    """A concierge desk of a house; the lowest priority rings first. One with a `phone` is a phone on duty."""

    account: str
    name: str
    house: str
    priority: int
    address: str = ""
    phone: str | None = None


@dataclass(frozen=True)
class DemoPanel:
    """A simulated panel. `places` are (house, entrance or None for the whole house, code).

    `access_code` opens its entrance; the panel sends what is typed as a call to `*` and the digits.
    """

    account: str
    name: str
    address: str
    method: Literal["dtmf", "http"]
    door_code: str
    places: tuple[tuple[str, int | None, str], ...]
    access_code: str | None = None
    relay_login: tuple[str, str] = field(default=("admin", "riverside-relay"))

    @property
    def relay_url(self) -> str:
        """The relay's URL with its login; SIP and relay share the panel's address."""
        user, password = self.relay_login
        return f"http://{user}:{password}@{self.address}"


LENINA: Final = "Lenina 1"
SADOVAYA: Final = "Sadovaya 7"
POLEVAYA: Final = "Polevaya 3"

COMPANIES: Final = (
    Company("Riverside Homes", "en", "estate", {LENINA: (1, 2), SADOVAYA: (1,)}),
    Company("Meadow Homes", "ru", "house", {POLEVAYA: (1,)}, message_limit_s=20, records_calls=True),
)
"""The first keeps the built-in rules but for its neighbours; the second asks for what costs time in every call."""

PANELS: Final = (
    DemoPanel("p10001", "Lenina 1, entrance 1", "127.0.1.1", "dtmf", "1", ((LENINA, 1, ""),), "40719"),
    DemoPanel("p10002", "Lenina 1, entrance 2", "127.0.1.2", "http", "2", ((LENINA, 2, ""),), "73150"),
    DemoPanel("p10003", "Sadovaya 7, entrance 1", "127.0.1.3", "dtmf", "3", ((SADOVAYA, 1, ""),)),
    DemoPanel("p10010", "Yard gate", "127.0.1.10", "http", "4", ((LENINA, None, "21"), (SADOVAYA, None, "22"))),
    DemoPanel("p30001", "Polevaya 3, entrance 1", "127.0.1.4", "dtmf", "5", ((POLEVAYA, 1, ""),)),
)

TRUNKS: Final = (
    Trunk("carrier-a", "127.0.3.1", 1, 14_000, "+74951110001"),
    Trunk("carrier-b", "127.0.3.2", 2, 19_000, "+74952220002", ("entryphone", "carrier-b-secret")),
)
"""Carriers of the city: the second is tried when the first fails, and wants a password."""
DESKS: Final = (
    Desk("c20001", "Lobby", SADOVAYA, 1, "127.0.4.1"),
    Desk("c20002", "Guard room", SADOVAYA, 2, "127.0.4.2"),
    Desk("c20003", "Duty officer", SADOVAYA, 3, phone="+79161234599"),
)
APP_MAKER: Final = "http://127.0.0.70"
"""Takes the lab's pushes while a test or a demo plays it."""

EMERGENCY_TRUNKS: Final = (("city-line", "127.0.3.11"), ("second-line", "127.0.3.12"))
"""Lines of the dispatch centre, name and address; no phones are dialled there."""
CENTRE: Final = {"number": "112", "public_number": "+74951120112", "test_number": "+74951120199"}
POOL: Final = ("+74951120001", "+74951120002", "+74951120003")
SHARED_NUMBER: Final = "+74951120000"
FIAS_ID: Final = "0c5b2444-70a0-4932-980c-b4dc0d3f02b5"
POINTS: Final = {LENINA: (55.7558, 37.6173), SADOVAYA: (55.76, 37.61), POLEVAYA: (55.77, 37.63)}

BLOCK_KINDS: Final[dict[str, tuple[bool, bool]]] = {"repair": (True, True), "debt": (False, True)}
"""Name: (stops calls, stops opening)."""

HOUSEHOLDS: Final = (
    Household(LENINA, 1, 11, "Petrova: handset only", (Phone("h10011", "handset", "127.0.2.11"),)),
    Household(
        LENINA,
        1,
        12,
        "Ivanov family: three apps",
        (
            Phone("a10012-olga", "app", "127.0.2.12"),
            Phone("a10012-pavel", "app", "127.0.2.13"),
            Phone("a10012-masha", "app", "127.0.2.14"),
        ),
    ),
    Household(
        LENINA,
        1,
        13,
        "Smirnov: handset, indoor unit and app",
        (
            Phone("h10013", "handset", "127.0.2.15"),
            Phone("i10013", "indoor_unit", "127.0.2.16"),
            Phone("a10013", "app", "127.0.2.17"),
        ),
    ),
    Household(LENINA, 1, 14, "Kuznetsov: nobody has an account"),
    Household(
        LENINA,
        1,
        15,
        "Volkova: nobody registered, the phone lies in a drawer",
        (Phone("a10015", "app", "127.0.2.18"),),
    ),
    Household(
        LENINA,
        1,
        16,
        "Nikolaev: home gateway first, after 8 seconds the app",
        (Phone("g10016", "home_gateway", "127.0.2.41"), Phone("a10016", "app", "127.0.2.42")),
        stages=(Stage(8, ("home_gateway",)), Stage(30, ("app",))),
    ),
    Household(
        LENINA,
        1,
        17,
        "Egorov family: one after another, Vera first",
        (
            Phone("a10017-vera", "app", "127.0.2.43", "Vera Egorova"),
            Phone("a10017-ivan", "app", "127.0.2.44", "Ivan Egorov"),
        ),
        stages=(Stage(8, ("all",), one_by_one=True),),
        residents=("Vera Egorova", "Ivan Egorov"),
    ),
    Household(
        LENINA,
        1,
        18,
        "Sidorova: the app sleeps, a push wakes it",
        (Phone("a10018", "app", "127.0.2.45", wakes=True),),
    ),
    Household(
        LENINA,
        2,
        21,
        "Sokolov: blocked for repair, calls are stopped",
        (Phone("h10021", "handset", "127.0.2.21"),),
        block="repair",
    ),
    Household(
        LENINA,
        2,
        22,
        "Morozova: debt, may talk but not open",
        (Phone("h10022", "handset", "127.0.2.22"), Phone("a10022", "app", "127.0.2.23")),
        block="debt",
    ),
    Household(
        LENINA,
        2,
        23,
        "Lebedeva: also rings the neighbour in 24, who may talk but not open",
        (Phone("h10023", "handset", "127.0.2.24"),),
        stages=(Stage(30, ("all", "h10024")),),
    ),
    Household(LENINA, 2, 24, "Novikov: the neighbour of 23", (Phone("h10024", "handset", "127.0.2.25"),)),
    Household(
        SADOVAYA,
        1,
        1,
        "Fedorov: handset first, after 10 seconds the app",
        (Phone("h20001", "handset", "127.0.2.31"), Phone("a20001", "app", "127.0.2.32")),
        stages=(Stage(10, ("handset",)), Stage(30, ("app",))),
    ),
    Household(SADOVAYA, 1, 2, "Orlova: indoor unit only", (Phone("i20002", "indoor_unit", "127.0.2.33"),)),
    Household(
        SADOVAYA,
        1,
        3,
        "Zaitsev: the app, then his phone",
        (Phone("a20003", "app", "127.0.2.36"),),
        stages=(Stage(5, ("all",)), Stage(20, ("phone",))),
        mobiles=(MobilePhone("f20003", "+79161234503", "Ivan Zaitsev"),),
    ),
    Household(
        SADOVAYA,
        1,
        4,
        "Pavlova: phone only",
        stages=(Stage(20, ("phone",)),),
        mobiles=(MobilePhone("f20004", "+79161234504", "Vera Pavlova"),),
    ),
    Household(
        SADOVAYA,
        1,
        5,
        "Titov: app and both phones at once, a phone presses a key first",
        (Phone("a20005", "app", "127.0.2.37"),),
        stages=(Stage(20, ("all", "phone"), confirm=True),),
        mobiles=(
            MobilePhone("f20005-oleg", "+79161234505", "Oleg Titov"),
            MobilePhone("f20005-inna", "+79161234506", "Inna Titova"),
        ),
    ),
    Household(
        SADOVAYA,
        1,
        6,
        "Alexeeva: no plan of her own, so 30 seconds the app, then the phone",
        (Phone("a20006", "app", "127.0.2.46"),),
        mobiles=(MobilePhone("f20006", "+79161234507", "Nina Alexeeva"),),
    ),
    Household(
        SADOVAYA,
        1,
        7,
        "Grigoriev: the app rings at any hour, the handset is quiet at night",
        (Phone("h20007", "handset", "127.0.2.47", quiet=("22:00", "07:00")), Phone("a20007", "app", "127.0.2.48")),
    ),
    Household(
        SADOVAYA,
        1,
        12,
        "Belov: apartment 12 here, too; from the gate it is 2212",
        (Phone("h20012", "handset", "127.0.2.34"), Phone("a20012", "app", "127.0.2.35")),
    ),
    Household(
        POLEVAYA,
        1,
        31,
        "Kozlov: the indoor unit first, after 6 seconds the apps, then his phone",
        (
            Phone("i30031", "indoor_unit", "127.0.2.51"),
            Phone("a30031-lev", "app", "127.0.2.52"),
            Phone("a30031-zoya", "app", "127.0.2.53"),
        ),
        stages=(Stage(6, ("indoor_unit",)), Stage(15, ("app",)), Stage(20, ("phone",))),
        mobiles=(MobilePhone("f30031", "+79161234531", "Lev Kozlov"),),
    ),
    Household(
        POLEVAYA,
        1,
        32,
        "Lazarev couple: rung one by one, Anna before Boris",
        (
            Phone("a30032-boris", "app", "127.0.2.54", "Boris Lazarev"),
            Phone("a30032-anna", "app", "127.0.2.55", "Anna Lazareva"),
        ),
        stages=(Stage(8, ("all",), one_by_one=True),),
        residents=("Anna Lazareva", "Boris Lazarev"),
    ),
    Household(
        POLEVAYA,
        1,
        33,
        "Mironova: blocked for repair, the visitor is told in Russian",
        (Phone("h30033", "handset", "127.0.2.56"),),
        block="repair",
    ),
    Household(
        POLEVAYA,
        1,
        34,
        "Naumova: nobody registered, a message can be left",
        (Phone("a30034", "app", "127.0.2.57"),),
    ),
    Household(
        POLEVAYA,
        1,
        35,
        "Osipov: who refuses has answered, no phone rings after him",
        (Phone("a30035", "app", "127.0.2.58"),),
        stages=(Stage(20, ("app",), on_refusal="stop"), Stage(20, ("phone",))),
        mobiles=(MobilePhone("f30035", "+79161234535", "Gleb Osipov"),),
    ),
)
