"""SIPp scenarios of the bench, generated: one call, said once, in its variants (digest or not, refusable or not).

Fields of a panel's injection line: account;password;dialled;local address;domain.
Fields of a registration line: account;password;contact account;local address;domain.

Calls are RFC 3261 throughout; digest is RFC 7616 (SIPp's `[authentication]`), the key is `application/dtmf-relay`.
SIPp names a Via branch after the index of the message (`[branch-N]`: the branch of the message N places earlier), so
the builder keeps count: the ACK of a refusal carries the branch of the INVITE it answers (RFC 3261 section 17.1.1.3).
"""

from dataclasses import dataclass, field
from typing import Final

RINGING_MS: Final = 700
KEY_AFTER_ANSWER_MS: Final = 500
TALK_MS: Final = 1800

_SDP: Final = """v=0
o=- 1 1 IN IP4 {address}
s=-
c=IN IP4 {address}
t=0 0
m=audio 4000 RTP/AVP 0 8 101
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
"""

_VIA: Final = "Via: SIP/2.0/[transport] [field3]:[local_port];branch=[branch{branch}];rport"
_FROM: Final = "From: <sip:[field0]@[field4]>;tag=[pid]p[call_number]"


@dataclass
class _Builder:
    """Elements of one scenario in order; `messages` counts those that SIPp numbers."""

    name: str
    elements: list[str] = field(default_factory=list)
    messages: int = 0

    def send(self, lines: list[str], body: str = "", attributes: str = "") -> int:
        """Add a message to send; returns its index."""
        length = ["Content-Length: [len]" if body else "Content-Length: 0"]
        text = "\n".join([*lines, *length, "", body])
        self.elements.append(f"<send {attributes}><![CDATA[\n{text}\n]]></send>")
        self.messages += 1
        return self.messages - 1

    def element(self, text: str) -> None:
        """Add an element that SIPp numbers: recv, nop, pause."""
        self.elements.append(text)
        self.messages += 1

    def label(self, name: str) -> None:
        self.elements.append(f'<label id="{name}"/>')

    def xml(self, variables: str = "") -> str:
        reference = f'<Reference variables="{variables}"/>' if variables else ""
        body = "\n".join([*self.elements, reference])
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="{self.name}">\n{body}\n</scenario>\n'


def _invite(scenario: _Builder, cseq: int, attributes: str, *, credentials: bool) -> int:
    digest = ["[authentication username=[field0] password=[field1]]"] if credentials else []
    lines = [
        "INVITE sip:[field2]@[field4] SIP/2.0",
        _VIA.format(branch=""),
        "Max-Forwards: 70",
        _FROM,
        "To: <sip:[field2]@[field4]>",
        "Call-ID: [call_id]",
        f"CSeq: {cseq} INVITE",
        "Contact: <sip:[field0]@[field3]:[local_port]>",
        *digest,
        "Allow: INVITE, ACK, BYE, CANCEL, INFO, OPTIONS, UPDATE",
        "Content-Type: application/sdp",
    ]
    return scenario.send(lines, _SDP.format(address="[field3]"), attributes)


def _in_dialog(scenario: _Builder, method: str, cseq: int, attributes: str = "") -> None:
    lines = [
        f"{method} [next_url] SIP/2.0",
        _VIA.format(branch=""),
        "[routes]",
        "Max-Forwards: 70",
        _FROM,
        "[last_To:]",
        "Call-ID: [call_id]",
        f"CSeq: {cseq} {method}",
    ]
    scenario.send(lines, "", attributes)


def _ack_of_refusal(scenario: _Builder, invite: int, cseq: int) -> None:
    lines = [
        "ACK sip:[field2]@[field4] SIP/2.0",
        _VIA.format(branch=f"-{scenario.messages - invite}"),
        "Max-Forwards: 70",
        _FROM,
        "[last_To:]",
        "Call-ID: [call_id]",
        f"CSeq: {cseq} ACK",
    ]
    scenario.send(lines)


_REFUSED: Final = """<recv response="503" optional="true" next="{label}"><action>
<ereg regexp="[0-9]+" search_in="hdr" header="Retry-After:" assign_to="retry_after"/></action></recv>"""


def panel(*, digest: bool, refusable: bool = False) -> str:
    """A panel calls its apartment: INVITE, 407, INVITE, ringing, answer, talk, BYE.

    Response time 1 is the first INVITE to ringing (with digest it contains the challenge). A `refusable` call may be
    answered 503 at either INVITE; counters `refused` and `with_retry_after` tell how many were.
    """
    scenario = _Builder("panel")
    first = last = _invite(scenario, 1, 'retrans="500" start_rtd="1"', credentials=False)
    if digest:
        scenario.element('<recv response="100" optional="true"/>')
        if refusable:
            scenario.element(_REFUSED.format(label="refused_1"))
        scenario.element('<recv response="407" auth="true"/>')
        _ack_of_refusal(scenario, first, 1)
        last = _invite(scenario, 2, 'retrans="500"', credentials=True)
    scenario.element('<recv response="100" optional="true"/>')
    if refusable:
        scenario.element(_REFUSED.format(label="refused_2"))
    scenario.element('<recv response="183" optional="true"/>')
    scenario.element('<recv response="180" rtd="1"/>')
    scenario.element('<recv response="180" optional="true"/>')
    scenario.element('<recv response="183" optional="true"/>')
    if refusable:
        scenario.element(_REFUSED.format(label="refused_2"))
    scenario.element('<recv response="200" rrs="true"/>')
    _in_dialog(scenario, "ACK", 2 if digest else 1)
    scenario.element(f'<pause milliseconds="{TALK_MS}"/>')
    _in_dialog(scenario, "BYE", 9, 'retrans="500"')
    scenario.element('<recv response="200" counter="completed" next="end"/>')
    if refusable:
        if digest:
            scenario.label("refused_1")
            _ack_of_refusal(scenario, first, 1)
            scenario.element('<nop next="refused"/>')
        scenario.label("refused_2")
        _ack_of_refusal(scenario, last, 2 if digest else 1)
        scenario.label("refused")
        scenario.element('<nop counter="refused"/>')
        scenario.element('<nop condexec="retry_after" counter="with_retry_after"/>')
    scenario.label("end")
    return scenario.xml("retry_after" if refusable else "")


def nobody_home() -> str:
    """A panel calls where nobody is: it hears why, and is refused. Counter `told`."""
    scenario = _Builder("nobody_home")
    first = _invite(scenario, 1, 'retrans="500" start_rtd="1"', credentials=False)
    scenario.element('<recv response="100" optional="true"/>')
    scenario.element('<recv response="407" auth="true"/>')
    _ack_of_refusal(scenario, first, 1)
    last = _invite(scenario, 2, 'retrans="500"', credentials=True)
    scenario.element('<recv response="100" optional="true"/>')
    scenario.element('<recv response="180" optional="true"/>')
    scenario.element('<recv response="183" rtd="1"/>')
    scenario.element('<recv response="480" timeout="30000"/>')
    _ack_of_refusal(scenario, last, 2)
    scenario.element('<nop counter="told"/>')
    return scenario.xml()


def emergency() -> str:
    """A panel calls 112 in the middle of an overload: any answer that is not a refusal for load counts as accepted.

    Counters: `refused` (503), `accepted` (ringing, answer, or a final answer of the dialplan other than 503).
    """
    scenario = _Builder("emergency")
    first = _invite(scenario, 1, 'retrans="500" start_rtd="1"', credentials=False)
    scenario.element('<recv response="100" optional="true"/>')
    scenario.element('<recv response="503" optional="true" next="refused_1"/>')
    scenario.element('<recv response="407" auth="true"/>')
    _ack_of_refusal(scenario, first, 1)
    second = _invite(scenario, 2, 'retrans="500"', credentials=True)
    scenario.element('<recv response="100" optional="true"/>')
    scenario.element('<recv response="180" optional="true"/>')
    scenario.element('<recv response="183" optional="true"/>')
    for status in ("404", "480", "486", "603"):
        scenario.element(f'<recv response="{status}" optional="true" next="ended"/>')
    scenario.element('<recv response="503" optional="true" next="refused_2"/>')
    scenario.element('<recv response="200" rrs="true" rtd="1" counter="accepted"/>')
    _in_dialog(scenario, "ACK", 2)
    scenario.element('<pause milliseconds="500"/>')
    _in_dialog(scenario, "BYE", 9, 'retrans="500"')
    scenario.element('<recv response="200" next="end"/>')
    scenario.label("ended")
    _ack_of_refusal(scenario, second, 2)
    scenario.element('<nop counter="accepted" next="end"/>')
    scenario.label("refused_1")
    _ack_of_refusal(scenario, first, 1)
    scenario.element('<nop counter="refused" next="end"/>')
    scenario.label("refused_2")
    _ack_of_refusal(scenario, second, 2)
    scenario.element('<nop counter="refused"/>')
    scenario.label("end")
    return scenario.xml()


_TAG: Final = ";tag=[pid]h[call_number]"
_CONTACT: Final = "Contact: <sip:handset@[server_ip]:[local_port]>"


def _answer(
    scenario: _Builder,
    status: str,
    attributes: str,
    *,
    tagged: bool = True,
    extra: tuple[str, ...] = (),
    body: str = "",
) -> None:
    lines = [
        f"SIP/2.0 {status}",
        "[last_Via:]",
        "[last_From:]",
        f"[last_To:]{_TAG if tagged else ''}",
        "[last_Call-ID:]",
        "[last_CSeq:]",
        *extra,
    ]
    scenario.send(lines, body, attributes)


def _rung(scenario: _Builder) -> None:
    """The start of every handset: a keep-alive OPTIONS is answered, an INVITE rings.

    `start_txn` keeps the INVITE's transaction: the 487 then carries its Via, not the CANCEL's (cookbook, SIPp).
    """
    scenario.element('<recv request="OPTIONS" optional="true" next="keep_alive"/>')
    scenario.element('<recv request="INVITE" start_txn="inv" rrs="true" counter="rung"/>')
    extra = ("[last_Record-Route:]", _CONTACT)
    _answer(scenario, "180 Ringing", 'response_txn="inv"', extra=extra)


def _keep_alive(scenario: _Builder) -> None:
    scenario.element('<nop next="end"/>')
    scenario.label("keep_alive")
    _answer(scenario, "200 OK", "")
    scenario.label("end")


def answerer() -> str:
    """Handset A: rings, answers, presses `#` by SIP INFO, is hung up on."""
    scenario = _Builder("answerer")
    _rung(scenario)
    scenario.element(f'<pause milliseconds="{RINGING_MS}"/>')
    extra = ("[last_Record-Route:]", _CONTACT, "Content-Type: application/sdp")
    _answer(
        scenario, "200 OK", 'response_txn="inv" retrans="500"', extra=extra, body=_SDP.format(address="[server_ip]")
    )
    scenario.element('<recv request="ACK"/>')
    scenario.element(f'<pause milliseconds="{KEY_AFTER_ANSWER_MS}"/>')
    scenario.send(
        [
            "INFO [next_url] SIP/2.0",
            "Via: SIP/2.0/[transport] [server_ip]:[local_port];branch=[branch];rport",
            "[routes]",
            "Max-Forwards: 70",
            "From: [last_To.value]",  # the ACK's To has our tag
            "To: [last_From.value]",
            "[last_Call-ID:]",
            "CSeq: 101 INFO",
            "Content-Type: application/dtmf-relay",
        ],
        "Signal=#\nDuration=100\n",
        'retrans="500"',
    )
    scenario.element('<recv response="200" counter="key"/>')
    scenario.element('<recv request="BYE"/>')
    _answer(scenario, "200 OK", "", tagged=False)
    scenario.element('<nop counter="answered"/>')
    _keep_alive(scenario)
    return scenario.xml()


def ringer() -> str:
    """Handsets B and C: ring until CANCEL (RFC 3261 section 9.2)."""
    scenario = _Builder("ringer")
    _rung(scenario)
    scenario.element('<recv request="CANCEL"/>')
    _answer(scenario, "200 OK", "")
    _answer(scenario, "487 Request Terminated", 'response_txn="inv" retrans="500"')
    scenario.element('<recv request="ACK" counter="cancelled"/>')
    _keep_alive(scenario)
    return scenario.xml()


def register(*, digest: bool, expires_s: int = 3600) -> str:
    """REGISTER of one account, with digest (401, credentials) or without."""
    scenario = _Builder("register")

    def request(cseq: int, *, credentials: bool, attributes: str) -> None:
        extra = ["[authentication username=[field0] password=[field1]]"] if credentials else []
        lines = [
            "REGISTER sip:[field4] SIP/2.0",
            _VIA.format(branch=""),
            "Max-Forwards: 70",
            _FROM,
            "To: <sip:[field0]@[field4]>",
            "Call-ID: [call_id]",
            f"CSeq: {cseq} REGISTER",
            f"Contact: <sip:[field2]@[field3]:[local_port]>;expires={expires_s}",
            *extra,
        ]
        scenario.send(lines, "", attributes)

    request(1, credentials=False, attributes='retrans="500" start_rtd="1"')
    if digest:
        scenario.element('<recv response="401" auth="true"/>')
        request(2, credentials=True, attributes='retrans="500"')
    scenario.element('<recv response="200" rtd="1"/>')
    return scenario.xml()
