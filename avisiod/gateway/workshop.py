"""What all calls of a media worker share: settings, ports, the DTLS certificate, prompts."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import msgspec
from aiortc import RTCCertificate

from avisiod.gateway.browser_leg import Outside
from avisiod.gateway.ice_path import Ports
from avisiod.gateway.leg import Codec
from avisiod.gateway.prompts import Prompts
from avisiod.gateway.settings import MediaWorkerSettings
from avisiod.gateway.udp_ports import UdpPorts


class Workshop:
    """Made once, by Configure."""

    def __init__(self, settings: MediaWorkerSettings) -> None:
        self.settings = settings
        self.phone_ports = UdpPorts(settings.phone_address, settings.phone_ports, width=2)
        self.outside = Outside(
            ports=_outside_ports(settings),
            silent_s=settings.outside_silent_s,
            certificate=RTCCertificate.generateCertificate(),
        )
        self.prompts = Prompts(settings.prompts_folder)
        self._aside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prompts")

    def adopt(self, settings: MediaWorkerSettings) -> None:
        """What Reconfigure brought, for calls that begin from now on; addresses and ports stay as they are.

        The site's own prompts are read anew, whether their folder has changed or what is in it.
        """
        if settings.prompts_folder or settings.prompts_folder != self.settings.prompts_folder:
            self.prompts = Prompts(settings.prompts_folder)
        self.outside = msgspec.structs.replace(self.outside, silent_s=settings.outside_silent_s)
        self.settings = settings

    async def prepare(self, language: str, codecs: list[Codec]) -> None:
        """Encode what a call may need; seconds of work where it was never done, so in a thread.

        One that came after all others would hold the interpreter while it waits for a processor, and the relay with
        it: beside four busy processes for up to 1.8 s, against 0.5 s for one that is like the others.
        """
        await asyncio.get_running_loop().run_in_executor(self._aside, self.prompts.prepare, (language,), codecs)


def _outside_ports(settings: MediaWorkerSettings) -> tuple[Ports, ...]:
    """IPv6 first, as RFC 8421 section 3 has it: it needs no NAT."""
    ports = Ports(UdpPorts(settings.outside_address, settings.outside_ports), settings.outside_announced)
    if not settings.outside_address_ipv6:
        return (ports,)
    return Ports(UdpPorts(settings.outside_address_ipv6, settings.outside_ports)), ports
