"""Configuration directory of one baresip 1.1 process: one account, one loopback address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

# Away from the servers' RTP (20000-39998, docs/contracts.md): baresip 1.1 binds RTP to every address of the machine
# (src/stream.c, stream_sock_alloc), so a shared range would take Asterisk's ports from it.
RTP_PORTS = "40000-59998"
CONTROL_PORT = 4444

_CONFIG = """\
poll_method epoll
sip_listen {address}:{sip_port}
sip_trans_def udp
net_interface {address}
dns_server 127.0.0.1:1
call_local_timeout 300
call_max_calls 8
call_hold_other_calls no
audio_source ausine,{frequency_hz}
audio_player aubridge,sink
audio_alert ausine,440
ausrc_srate 48000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
audio_level no
audio_buffer 20-160
rtp_ports {rtp_ports}
jitter_buffer_type off
rtp_stats no
file_ausrc none
ctrl_tcp_listen {address}:{control_port}
module_path /usr/lib/baresip/modules
module g711.so
module opus.so
module g722.so
module ausine.so
module aubridge.so
module aufile.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
"""


@dataclass(frozen=True)
class AgentConfig:
    """What a baresip agent is.

    Attributes:
        account: SIP user and digest user name.
        proxy: `address:port` of the outbound proxy.
        codecs: in order of preference, in baresip's names.
        dtmf: how keys are sent: RFC 4733 events in the stream, or SIP INFO.
        frequency_hz: the tone it speaks with.
        transport: of SIP; over TCP it is reached by the connection that it has opened.
    """

    account: str
    password: str
    address: str
    domain: str
    proxy: str
    display_name: str = ""
    sip_port: int = 5060
    codecs: tuple[str, ...] = ("pcmu/8000/1", "pcma/8000/1")
    dtmf: Literal["rtpevent", "info"] = "rtpevent"
    answer_mode: Literal["manual", "auto"] = "manual"
    frequency_hz: int = 440
    transport: Literal["udp", "tcp"] = "udp"

    def write(self, directory: Path) -> None:
        """Write the configuration files."""
        directory.mkdir(parents=True, exist_ok=True)
        config = _CONFIG.format(
            address=self.address,
            sip_port=self.sip_port,
            frequency_hz=self.frequency_hz,
            rtp_ports=RTP_PORTS,
            control_port=CONTROL_PORT,
        )
        (directory / "config").write_text(config)
        # No account at the start: `uanew` of the menu module creates it when the script says so.
        (directory / "accounts").write_text("")
        (directory / "contacts").write_text("")

    def account_line(self, register_interval_s: int) -> str:
        """The account as baresip's `uanew` command takes it; an interval of 0 does not register."""
        return (
            f'"{self.display_name or self.account}" <sip:{self.account}@{self.domain}>'
            f";auth_user={self.account};auth_pass={self.password}"
            f';outbound="sip:{self.proxy};transport={self.transport}"'
            f";regint={register_interval_s};answermode={self.answer_mode}"
            f";audio_codecs={','.join(self.codecs)};dtmfmode={self.dtmf}"
        )
