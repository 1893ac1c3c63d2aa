"""Whether a call with a phone is encrypted: what the phone offers, what the site wants, and how the phone signals."""

import itertools

import msgspec
import pytest

from avisiod.gateway import sdes, sdp, sdp_phone
from avisiod.gateway.leg import Kind
from avisiod.gateway.phone_keys import Encryption, KeyRules
from avisiod.gateway.sdes import Keys
from avisiod.gateway.wire import OfferUnacceptable
from tests.gateway.test_sdp_phone import OWN, offer

NEVER, OPTIONAL, REQUIRED = Encryption.NEVER, Encryption.OPTIONAL, Encryption.REQUIRED
THEIRS = {kind: sdes.fresh() for kind in Kind}
SHA1_80, SHA1_32 = 2, 3
"""Places of these suites in what sdes.fresh() gives."""


def own(encryption: Encryption = OPTIONAL, *, safe: bool = True, running: dict[Kind, Keys] | None = None):
    new = {kind: sdes.fresh() for kind in Kind}
    rules = KeyRules(encryption=encryption, safe=safe, running=running or {}, new=new)
    return msgspec.structs.replace(OWN, keys=rules)


def lines(protocol: str, *keys: int) -> tuple[str, ...]:
    sound = [THEIRS[Kind.AUDIO][place].tagged(tag).line() for tag, place in enumerate(keys, start=4)]
    picture = [THEIRS[Kind.VIDEO][place].tagged(tag).line() for tag, place in enumerate(keys, start=4)]
    video = [f"m=video 4002 {protocol} 97", "a=rtpmap:97 H264/90000", *picture]
    return (f"m=audio 4000 {protocol} 8", *sound, *video)


CLEAR = lines("RTP/AVP")
BOTH = lines("RTP/AVP", SHA1_80)
SECURE = lines("RTP/SAVP", SHA1_32, SHA1_80)


@pytest.mark.parametrize(
    ("offered", "encryption", "safe", "outcome"),
    [
        (CLEAR, NEVER, True, "clear"),
        (BOTH, NEVER, True, "clear"),
        (SECURE, NEVER, True, "phones.encryption is `never` here, let the phone offer RTP/AVP"),
        (CLEAR, OPTIONAL, True, "clear"),
        (BOTH, OPTIONAL, True, "keys"),
        (SECURE, OPTIONAL, True, "keys"),
        (CLEAR, REQUIRED, True, "no a=crypto can be taken, and clear text is not wanted: there is none"),
        (BOTH, REQUIRED, True, "keys"),
        (SECURE, REQUIRED, True, "keys"),
        (CLEAR, OPTIONAL, False, "clear"),
        (BOTH, OPTIONAL, False, "clear"),
        (SECURE, OPTIONAL, False, "protect nobody without TLS, let the phone use SIP over TLS"),
        (CLEAR, REQUIRED, False, "protect nobody without TLS, let the phone use SIP over TLS"),
        (BOTH, REQUIRED, False, "protect nobody without TLS, let the phone use SIP over TLS"),
        (SECURE, REQUIRED, False, "protect nobody without TLS, let the phone use SIP over TLS"),
    ],
)
def test_site_phone_and_transport_decide_together(
    offered: tuple[str, ...], encryption: Encryption, safe: bool, outcome: str
) -> None:
    text = offer(*offered)
    if outcome not in ("clear", "keys"):
        with pytest.raises(OfferUnacceptable, match=outcome) as refusal:
            sdp_phone.answer(text, own(encryption, safe=safe), version=1)
        assert not any(key.line()[-20:] in str(refusal.value) for key in itertools.chain(*THEIRS.values()))
        return
    agreement = sdp_phone.answer(text, own(encryption, safe=safe), version=1)
    answered = sdp.parse(agreement.text)
    for kind, media, theirs in zip(Kind, answered.media, sdp.parse(text).media, strict=True):
        assert media.protocol == theirs.protocol
        assert len(media.values("crypto")) == (outcome == "keys")
        assert (agreement.media[kind].keys is not None) == (outcome == "keys")


def test_the_phones_first_suite_is_answered_under_its_tag_with_a_key_of_ours_for_each_line() -> None:
    agreement = sdp_phone.answer(offer(*SECURE), own(), version=1)
    for kind, media in zip(Kind, sdp.parse(agreement.text).media, strict=True):
        (ours,), _ = sdes.read(media.values("crypto"))
        keys = agreement.media[kind].keys
        assert keys is not None
        assert keys.ours == ours
        assert (ours.tag, ours.suite) == (4, "AES_CM_128_HMAC_SHA1_32")
        assert keys.theirs == THEIRS[kind][SHA1_32].tagged(4)
        assert ours.key != keys.theirs.key
    audio, video = (agreement.media[kind].keys for kind in Kind)
    assert audio is not None
    assert video is not None
    assert audio.ours.key != video.ours.key


def test_our_key_stays_while_the_phone_keeps_its_own_and_changes_with_it() -> None:
    first = sdp_phone.answer(offer(*SECURE), own(), version=1)
    running = {kind: media.keys for kind, media in first.media.items() if media.keys}
    again = sdp_phone.answer(offer(*lines("RTP/SAVP", SHA1_80, SHA1_32)), own(running=running), version=2)
    assert again.media[Kind.AUDIO].keys != running[Kind.AUDIO], "another suite is another key"
    moved = offer(*(line.replace("a=crypto:4", "a=crypto:1") for line in SECURE))
    same = sdp_phone.answer(moved, own(running=running), version=2)
    assert same.media[Kind.AUDIO].keys == Keys(
        running[Kind.AUDIO].ours.tagged(1), running[Kind.AUDIO].theirs.tagged(1)
    )


@pytest.mark.parametrize(
    ("encryption", "safe", "protocol", "count"),
    [(NEVER, True, "RTP/AVP", 0), (OPTIONAL, False, "RTP/AVP", 0), (OPTIONAL, True, "RTP/AVP", 4),
     (REQUIRED, True, "RTP/SAVP", 4)],
)  # fmt: skip
def test_an_offer_of_ours_has_keys_where_it_may_and_the_phone_chooses(
    encryption: Encryption, safe: bool, protocol: str, count: int
) -> None:
    us = own(encryption, safe=safe)
    text = sdp_phone.offer(us, version=1)
    for media in sdp.parse(text).media:
        assert (media.protocol, len(media.values("crypto"))) == (protocol, count)
    if not count:
        return
    chosen = [f"a=crypto:3 AES_CM_128_HMAC_SHA1_80 {key.line().split()[2]}" for key in (THEIRS[Kind.AUDIO][2],)]
    agreement = sdp_phone.accept_answer(offer(f"m=audio 4000 {protocol} 8", *chosen), us)
    keys = agreement.media[Kind.AUDIO].keys
    assert keys == Keys(us.keys.new[Kind.AUDIO][2], THEIRS[Kind.AUDIO][2].tagged(3))
    with pytest.raises(OfferUnacceptable, match="answers none of ours"):
        sdp_phone.accept_answer(offer(f"m=audio 4000 {protocol} 8", chosen[0].replace(":3", ":9")), us)
    running = {Kind.AUDIO: keys}
    refresh = sdp.parse(sdp_phone.offer(own(encryption, running=running), version=2)).media[0]
    assert (refresh.protocol, sdes.read(refresh.values("crypto"))[0]) == ("RTP/SAVP", [keys.ours])


def test_an_answer_without_keys_is_clear_text_or_refused() -> None:
    plain = offer("m=audio 4000 RTP/AVP 8")
    assert sdp_phone.accept_answer(plain, own()).media[Kind.AUDIO].keys is None
    with pytest.raises(OfferUnacceptable, match="clear text is not wanted"):
        sdp_phone.accept_answer(plain, own(REQUIRED))
    with pytest.raises(OfferUnacceptable, match="without TLS"):
        sdp_phone.offer(own(REQUIRED, safe=False), version=1)
