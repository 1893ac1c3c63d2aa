"""The phone's leg with SRTP over real sockets; the phone is libsrtp itself, with no code of ours."""

import base64
import re
import struct

import pytest
from pylibsrtp import Policy, Session

from avisiod.gateway import rtcp, rtp, sdes, sdp
from avisiod.gateway.leg import Kind
from avisiod.gateway.phone_leg import PhoneRules
from tests.gateway.test_phone_leg import PCMA, Rig, media_test, until

PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AEAD_AES_256_GCM": Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
KEYS = {each.suite: each for each in sdes.fresh()}
OTHER_KEYS = {each.suite: each for each in sdes.fresh()}
SHA1_80 = "AES_CM_128_HMAC_SHA1_80"
REPORT = rtcp.build(rtcp.ReceiverReport(ssrc=7))


class SrtpPhone:
    """What the phone's own library makes of the keys."""

    def __init__(self, suite: str = SHA1_80, keys: dict[str, sdes.Crypto] = KEYS) -> None:
        self.suite = suite
        self.line = keys[suite].line() + "\r\n"
        self._key = keys[suite].key
        self.anew()

    def anew(self) -> None:
        """Forget every counter of what is sent."""
        self.out = Session(Policy(self._key, Policy.SSRC_ANY_OUTBOUND, srtp_profile=PROFILES[self.suite]))

    def answered(self, text: str) -> str:
        """Take the key of the answer's first line; the key."""
        (line,) = sdp.parse(text).media[0].values("crypto")
        found = re.fullmatch(r"(\d+) (\S+) inline:(\S+)", line)
        assert found is not None
        assert found[2] == self.suite
        key = base64.b64decode(found[3])
        self.incoming = Session(Policy(key, Policy.SSRC_ANY_INBOUND, srtp_profile=PROFILES[self.suite]))
        return found[3]


class SrtpRig(Rig):
    """A leg whose phone encrypts its sound."""

    def __init__(self, suite: str = SHA1_80, **options: object) -> None:
        self.srtp = SrtpPhone(suite)
        super().__init__(secure=True, video=False, extra=self.srtp.line, **options)  # type: ignore[arg-type]
        self.key = self.srtp.answered(self.leg.text)

    def say(self, *, sequence: int | None = None, ssrc: int = 7) -> bytes:
        """Send one packet of sound; what it was before it was encrypted."""
        if sequence is not None:
            self.phone.sequence = sequence - 1
        packet = self.phone.packet()
        packet = packet[:8] + struct.pack(">I", ssrc) + packet[12:]
        self.phone.audio.sendto(self.srtp.out.protect(packet), self.audio)
        return packet

    async def heard(self, packet: bytes) -> None:
        await until(lambda: (Kind.AUDIO, packet) in self.listener.packets)

    async def hears(self, sequence: int = 1) -> None:
        """What we send now, the phone decrypts."""
        packet = rtp.packet(b"y" * 160, payload_type=PCMA, sequence=sequence, timestamp=0, ssrc=9)
        self.leg.send_rtp(Kind.AUDIO, packet)
        received = await self.received(self.phone.audio)
        assert packet not in received
        assert self.srtp.incoming.unprotect(received) == packet


@pytest.mark.parametrize("suite", list(PROFILES))
def test_every_suite_works_both_ways_with_reports(suite: str):
    @media_test
    async def both_ways():
        async with SrtpRig(suite) as rig:
            await rig.heard(rig.say())
            await rig.hears()
            rig.phone.audio_rtcp.sendto(rig.srtp.out.protect_rtcp(REPORT), rig.audio_rtcp)
            await until(lambda: rig.listener.reports == [(Kind.AUDIO, REPORT)])
            rig.leg.send_rtcp(Kind.AUDIO, REPORT)
            received = await rig.received(rig.phone.audio_rtcp)
            assert rig.srtp.incoming.unprotect_rtcp(received) == REPORT
            assert rig.leg.dropped_invalid == 0

    return both_ways()


@media_test
async def test_reports_share_the_port_where_the_phone_multiplexes():
    srtp = SrtpPhone()
    async with Rig(secure=True, video=False, extra=srtp.line + "a=rtcp-mux\r\n") as rig:
        srtp.answered(rig.leg.text)
        rig.phone.audio.sendto(srtp.out.protect_rtcp(REPORT), rig.audio)
        rig.phone.audio.sendto(srtp.out.protect(rig.phone.packet()), rig.audio)
        await until(lambda: len(rig.listener.packets) == 1)
        assert rig.listener.reports == [(Kind.AUDIO, REPORT)]
        rig.leg.send_rtcp(Kind.AUDIO, REPORT)
        assert srtp.incoming.unprotect_rtcp(await rig.received(rig.phone.audio)) == REPORT


@media_test
async def test_what_is_not_authentic_neither_locks_the_port_nor_is_heard_and_is_counted():
    async with SrtpRig() as rig:
        forger = SrtpPhone(keys=OTHER_KEYS)
        elsewhere = rig.phone.another()
        forged = forger.out.protect(rig.phone.packet())
        for packet in (rig.phone.packet(), forged, b"", forged[:20], forged + b"x" * 2000):
            elsewhere.sendto(packet, rig.audio)
        elsewhere.sendto(REPORT, rig.audio_rtcp)
        elsewhere.sendto(forger.out.protect_rtcp(REPORT), rig.audio_rtcp)
        await until(lambda: rig.leg.dropped_invalid == 7)
        await rig.heard(rig.say())
        before = rig.leg.heard
        rig.phone.audio.sendto(forged, rig.audio)
        rig.phone.audio.sendto(rig.phone.packet(), rig.audio)
        await until(lambda: rig.leg.dropped_invalid == 9)
        assert len(rig.listener.packets) == 1
        assert rig.leg.heard == before
        assert rig.listener.reports == []


@media_test
async def test_a_packet_that_is_played_back_is_dropped():
    async with SrtpRig() as rig:
        once = rig.srtp.out.protect(rig.phone.packet())
        report = rig.srtp.out.protect_rtcp(REPORT)
        for _ in range(3):
            rig.phone.audio.sendto(once, rig.audio)
            rig.phone.audio_rtcp.sendto(report, rig.audio_rtcp)
        await until(lambda: rig.leg.dropped_invalid == 4)
        assert (len(rig.listener.packets), len(rig.listener.reports)) == (1, 1)


@media_test
async def test_what_a_phone_missed_is_sent_again():
    async with SrtpRig() as rig:
        await rig.hears(5)
        packet = rtp.packet(b"y" * 160, payload_type=PCMA, sequence=6, timestamp=0, ssrc=9)
        rig.leg.send_rtp(Kind.AUDIO, packet)
        lost = await rig.received(rig.phone.audio)
        rig.leg.send_rtp(Kind.AUDIO, packet)
        assert await rig.received(rig.phone.audio) == lost


@media_test
async def test_hold_with_the_same_key_keeps_the_rollover_counter():
    """Sequence numbers began anew before the hold: whoever begins to count anew is one-sided from there on."""
    async with SrtpRig() as rig:
        for sequence in (65533, 65534, 65535, 0, 1):
            await rig.heard(rig.say(sequence=sequence))
            await rig.hears(sequence)
        for direction in ("sendonly", "sendrecv"):
            answer = rig.leg.update(rig.phone.offer(direction=direction, video=False, extra=rig.srtp.line))
            (crypto,) = sdp.parse(answer).media[0].values("crypto")
            assert crypto.endswith(rig.key)
        await rig.heard(rig.say(sequence=2))
        await rig.hears(2)
        assert rig.leg.dropped_invalid == 0


@media_test
async def test_another_source_of_the_phone_with_the_same_key_is_heard():
    async with SrtpRig() as rig:
        await rig.heard(rig.say(sequence=40_000))
        await rig.heard(rig.say(sequence=3, ssrc=8))
        assert rig.leg.dropped_invalid == 0


@media_test
async def test_a_new_key_in_a_re_invite_makes_a_new_key_of_ours_and_no_gap():
    async with SrtpRig() as rig:
        for sequence in (65534, 65535, 0):
            await rig.heard(rig.say(sequence=sequence))
            await rig.hears(sequence)
        before, rig.srtp = rig.srtp, SrtpPhone(keys=OTHER_KEYS)
        answer = rig.leg.update(rig.phone.offer(video=False, extra=rig.srtp.line))
        assert rig.srtp.answered(answer) != rig.key
        still = rig.phone.packet()
        rig.phone.audio.sendto(before.out.protect(still), rig.audio)
        await rig.heard(still)
        await rig.heard(rig.say())
        await rig.hears(5)
        assert rig.leg.dropped_invalid == 0
        rig.phone.audio.sendto(before.out.protect(rig.phone.packet()), rig.audio)
        await until(lambda: rig.leg.dropped_invalid == 1)


@media_test
async def test_a_phones_answer_to_a_refresh_changes_its_key_alone():
    """Our key is in the description that PJSIP sent by itself; nobody would tell the phone another one."""
    async with SrtpRig() as rig:
        await rig.hears(1)
        rig.srtp.out = (other := SrtpPhone(keys=OTHER_KEYS)).out
        tag = sdp.parse(rig.leg.text).media[0].values("crypto")[0].split()[0]
        line = re.sub("crypto:[0-9]+", f"crypto:{tag}", other.line)
        assert rig.leg.update(rig.phone.offer(video=False, extra=line), answers=True) == ""
        await rig.heard(rig.say())
        await rig.hears(2)


@media_test
async def test_encryption_may_begin_and_end_in_mid_call():
    async with Rig(secure=True, video=False) as rig:
        await rig.locked()
        srtp = SrtpPhone()
        srtp.answered(rig.leg.update(rig.phone.offer(video=False, extra=srtp.line)))
        packet = rig.phone.packet()
        rig.phone.audio.sendto(srtp.out.protect(packet), rig.audio)
        await until(lambda: (Kind.AUDIO, packet) in rig.listener.packets)
        rig.phone.audio.sendto(rig.phone.packet(), rig.audio)
        await until(lambda: rig.leg.dropped_invalid == 1)
        assert "crypto" not in rig.leg.update(rig.phone.offer(video=False))
        await rig.locked()
        rig.leg.send_rtp(Kind.AUDIO, packet)
        assert await rig.received(rig.phone.audio) == packet


@media_test
async def test_keys_of_a_phone_without_tls_are_passed_over_unless_the_site_does_not_mind():
    srtp = SrtpPhone()
    async with Rig(video=False, extra=srtp.line) as rig:
        assert "crypto" not in rig.leg.text
        await rig.locked()
    async with Rig(rules=PhoneRules(keys_need_tls=False), video=False, extra=srtp.line) as rig:
        srtp.answered(rig.leg.text)


@media_test
async def test_a_phone_behind_nat_is_known_by_its_first_authentic_packet():
    async with SrtpRig(rules=PhoneRules(behind_nat=True), address="10.9.9.9") as rig:
        forger = SrtpPhone(keys=OTHER_KEYS)
        rig.stranger.audio.sendto(forger.out.protect(rig.stranger.packet()), rig.audio)
        await until(lambda: rig.leg.dropped_invalid == 1)
        assert rig.listener.states == []
        await rig.heard(rig.say())
        assert rig.listener.states == ["connected"]
        await rig.hears()
