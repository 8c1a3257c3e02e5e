from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lab.peers.sip_trace import SipTraceReader

_CANCEL = (
    b"\x1b[36;1m#\nUDP 127.0.0.10:5060 -> 127.0.2.1:5060\nCANCEL sip:h1@127.0.2.1 SIP/2.0\r\n"
    b'Reason: SIP;cause=200;text="Call completed elsewhere"\r\nCSeq: 1 CANCEL\r\n\r\n\x1b[;m\n'
)
_OUTPUT = b"baresip is ready.\n" + _CANCEL + b"some text\n" + _CANCEL + b"end\n"


@given(st.lists(st.integers(0, len(_OUTPUT)), max_size=8))
def test_messages_are_found_however_the_output_is_cut(cuts: list[int]) -> None:
    reader, found, text = SipTraceReader(), [], ""
    edges = [0, *sorted(cuts), len(_OUTPUT)]
    for start, end in pairwise(edges):
        messages, said = reader.feed(_OUTPUT[start:end])
        found += messages
        text += said
    assert [got.message.get("Reason") for got in found] == ['SIP;cause=200;text="Call completed elsewhere"'] * 2
    assert found[0].destination == "127.0.2.1:5060"
    assert text == "baresip is ready.\nsome text\nend\n"
