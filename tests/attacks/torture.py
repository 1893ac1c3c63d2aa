"""SIP messages made to break parsers: those of RFC 4475 by their names there, and what becomes of a good one."""

import random
from collections.abc import Iterator

_VIA = b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK"
_BODY = (
    b"v=0\r\no=mhandley 29739 7272939 IN IP4 192.0.2.3\r\ns=-\r\nc=IN IP4 192.0.2.4\r\nt=0 0\r\n"
    b"m=audio 49217 RTP/AVP 0 12\r\nm=video 3227 RTP/AVP 31\r\na=rtpmap:31 LPC\r\n"
)


def _message(start: bytes, name: bytes, *lines: bytes, body: bytes = b"", fields: bytes = b"") -> bytes:
    """A message whose usual fields are replaced by those of `lines` with the same name."""
    method = start.split(b" ")[0]
    usual = {
        b"Via": _VIA + name,
        b"Max-Forwards": b"Max-Forwards: 70",
        b"From": b"From: <sip:caller@example.net>;tag=" + name,
        b"To": b"To: <sip:callee@example.com>",
        b"Call-ID": b"Call-ID: " + name + b"@192.0.2.1",
        b"CSeq": b"CSeq: 8 " + method,
        b"Contact": b"Contact: <sip:caller@127.0.0.1:5>",
        b"Content-Length": b"Content-Length: %d" % len(body),
    }
    for line in lines:
        usual[line.split(b":")[0].strip()] = line
    if body:
        usual.setdefault(b"Content-Type", b"Content-Type: application/sdp")
    kept = [line for line in usual.values() if not line.endswith(b": absent")]
    return b"\r\n".join([start, *kept]) + b"\r\n" + fields + b"\r\n" + body


INVITE = b"INVITE sip:0612345678@avisio SIP/2.0"

RFC_4475: dict[str, bytes] = {
    # 3.1.1: valid, and rarely seen.
    "wsinv": (
        b"INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\r\nTO :\r\n "
        b"sip:vivekg@chair-dnrc.example.com "
        b';   tag    = 1918181833n\r\nfrom   : "J Rosenberg \\\\\\""       <sip:jdrosen@example.com>\r\n  ;'
        b"\r\n  tag ="
        b" 98asjd8\r\nMaX-fOrWaRdS: 0068\r\nCall-ID: wsinv.ndaksdj@192.0.2.1\r\nContent-Length   : "
        b"150\r\ncseq: 0009\r\n"
        b"  INVITE\r\nVia  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw\r\ns :\r\n"
        b"NewFangledHeader:   newfangled value\r\n continued newfangled "
        b"value\r\nUnknownHeaderWithUnusualValue: ;;,,;;,;\r\n"
        b"Content-Type: application/sdp\r\nRoute:\r\n "
        b"<sip:services.example.com;lr;unknownwith=value;unknown-no-value>\r\n"
        b"v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n SIP  /    "
        b"2.0   / UDP  "
        b'192.168.255.111   ; branch=\r\n z9hG4bK30239\r\nm:"Quoted string \\"\\"" <sip:jdrosen@example.com> ; '
        b"newparam "
        b"=\r\n      newvalue ;\r\n  secondparam ; q = 0.33\r\n\r\n" + _BODY
    ),
    "intmeth": _message(
        b"!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:"
        b"&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0",
        b"intmeth",
        b'To: "BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:1_unusual.URI~(to-be!sure)&isn\'t+it$/crazy?,/;;*@example.com>',
        fields=b"extensionHeader-!.%*+_`'~:\xef\xbb\xbf\xe5\xa4\xa7\xe5\x81\x9c\xe9\x9b\xbb\r\n",
    ),
    "esc01": _message(
        b"INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0",
        b"esc01",
        b"Contact: <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>",
        body=_BODY,
    ),
    "escnull": _message(
        b"REGISTER sip:example.com SIP/2.0",
        b"escnull",
        b"To: sip:null-%00-null@example.com",
        b"From: sip:null-%00-null@example.com;tag=839923423",
        b"Contact: <sip:%00@host5.example.com>,<sip:%00%00@host5.example.com>",
    ),
    "esc02": _message(
        b"RE%47IST%45R sip:registrar.example.com SIP/2.0", b"esc02", b"Contact: <sip:alias1@h.example.com>"
    ),
    "lwsdisp": _message(
        b"OPTIONS sip:user@example.com SIP/2.0", b"lwsdisp", b"From: caller<sip:c@example.com>;tag=323"
    ),
    "longreq": _message(
        b"INVITE sip:user@example.com SIP/2.0",
        b"longreq",
        b'To: "I have a user name of '
        + b"extreme" * 40
        + b' proportion"<sip:user@example.com:6000;unknownparam1='
        + b"verylong" * 30
        + b";longparam"
        + b"name" * 50
        + b"=shortvalue>",
        b"Call-ID: longreq.one" + b"really" * 60 + b"longcallid",
        fields=b"".join(b"Via: SIP/2.0/TCP sip%d.example.com\r\n" % n for n in range(33, 0, -1))
        + b"Unknown-"
        + b"Long" * 40
        + b"-Name: unknown-"
        + b"long" * 40
        + b"-value; p="
        + b"long" * 40
        + b"\r\n",
        body=_BODY,
    ),
    "dblreq": _message(b"REGISTER sip:example.com SIP/2.0", b"dblreq") + _message(INVITE, b"dblreq2", body=_BODY),
    "semiuri": _message(b"OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0", b"semiuri"),
    "transports": _message(
        b"OPTIONS sip:user@example.com SIP/2.0",
        b"transports",
        fields=b"".join(
            b"Via: SIP/2.0/%s t1.example.com;branch=z9hG4bK%s\r\n" % (t, t) for t in (b"SCTP", b"TLS", b"UNKNOWN")
        ),
    ),
    "mpart01": _message(
        b"MESSAGE sip:kumiko@example.org SIP/2.0",
        b"mpart01",
        b"Content-Type: multipart/mixed;boundary=7a9cbec02ceef655",
        body=b"--7a9cbec02ceef655\r\nContent-Type: text/plain\r\n\r\nHello\r\n--7a9cbec02ceef655\r\n"
        b"Content-Type: "
        b"application/octet-stream\r\n\r\n0\x82\x01R\x06\t*\x86H\x86\xf7\r\n\x00\r\n--7a9cbec02ceef655--",
    ),
    "unreason": _message(b"SIP/2.0 200 = 2**3 * 5**2 \xd0\xbd\xd0\xbe", b"unreason", b"CSeq: 35 INVITE"),
    "noreason": _message(b"SIP/2.0 100 ", b"noreason", b"CSeq: 35 INVITE"),
    # 3.1.2: invalid.
    "badinv01": _message(
        b"INVITE sip:user@example.com SIP/2.0",
        b"badinv01",
        b'Contact: "Joe" <sip:joe@example.org>;;;;',
        b"Via: SIP/2.0/UDP 192.0.2.15;;,;,,",
        body=_BODY,
    ),
    "clerr": _message(b"INVITE sip:user@example.com SIP/2.0", b"clerr", b"Content-Length: 9999", body=_BODY),
    "ncl": _message(b"INVITE sip:user@example.com SIP/2.0", b"ncl", b"Content-Length: -999", body=_BODY),
    "scalar02": _message(
        b"REGISTER sip:example.com SIP/2.0",
        b"scalar02",
        b"CSeq: 36893488147419103232 REGISTER",
        b"Max-Forwards: 300",
        b"Contact: <sip:user@host129.example.com>;expires=280297596632815",
        fields=b"Expires: 10000000000000000000000000000\r\n",
    ),
    "scalarlg": _message(
        b"SIP/2.0 503 Service Unavailable",
        b"scalarlg",
        b"CSeq: 9292394834772304023312 OPTIONS",
        fields=b'Retry-After: 949302838503028349304023988\r\nWarning: 1812 overture "In Progress"\r\n',
    ),
    "quotbal": _message(
        b"INVITE sip:user@example.com SIP/2.0", b"quotbal", b'To: "Mr. J. User <sip:j@example.com>', body=_BODY
    ),
    "ltgtruri": _message(b"INVITE <sip:user@example.com> SIP/2.0", b"ltgtruri", body=_BODY),
    "lwsruri": _message(b"INVITE sip:user@example.com; lr SIP/2.0", b"lwsruri", body=_BODY),
    "lwsstart": _message(b"INVITE  sip:user@example.com  SIP/2.0", b"lwsstart", body=_BODY),
    "trws": _message(b"OPTIONS sip:remote-target@example.com SIP/2.0  ", b"trws"),
    "escruri": _message(b"INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0", b"escruri", body=_BODY),
    "baddate": _message(INVITE, b"baddate", fields=b"Date: Fri, 01 Jan 2010 16:00:00 EST\r\n", body=_BODY),
    "regbadct": _message(
        b"REGISTER sip:example.com SIP/2.0", b"regbadct", b"Contact: sip:user@example.com?Route=%3Csip:s@e%3E"
    ),
    "badaspec": _message(
        b"OPTIONS sip:user@example.org SIP/2.0", b"badaspec", b'From: "Bell, Alexander" <sip:a.g.bell@>;tag=433'
    ),
    "baddn": _message(
        b"OPTIONS sip:user@example.org SIP/2.0", b"baddn", b"From: Bell, Alexander <sip:a@b.com>;tag=43"
    ),
    "badvers": _message(
        b"OPTIONS sip:t.watson@example.org SIP/7.0", b"badvers", b"Via: SIP/7.0/UDP c.example.com;branch=z9hG4bKkd"
    ),
    "mismatch01": _message(b"OPTIONS sip:user@example.com SIP/2.0", b"mismatch01", b"CSeq: 8 INVITE"),
    "mismatch02": _message(b"NEWMETHOD sip:user@example.com SIP/2.0", b"mismatch02", b"CSeq: 8 INVITE", body=_BODY),
    "bigcode": _message(b"SIP/2.0 4294967301 better not break the receiver", b"bigcode", b"CSeq: 353494 INVITE"),
    # 3.2 and 3.3: transactions and the application.
    "badbranch": _message(b"OPTIONS sip:user@example.com SIP/2.0", b"", b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK"),
    "insuf": _message(
        b"INVITE sip:user@example.com SIP/2.0",
        b"insuf",
        b"From: absent",
        b"To: absent",
        b"Call-ID: absent",
        body=_BODY,
    ),
    "unkscm": _message(b"OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0", b"unkscm"),
    "novelsc": _message(b"OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0", b"novelsc"),
    "unksm2": _message(
        b"REGISTER sip:example.com SIP/2.0", b"unksm2", b"To: isbn:2983792873", b"Contact: <name:John_Smith>"
    ),
    "bext01": _message(
        b"OPTIONS sip:user@example.com SIP/2.0",
        b"bext01",
        fields=b"Require: nothingSupportsThis, nothingSupportsThisEither\r\nProxy-Require: noProxiesSupportThis\r\n",
    ),
    "invut": _message(
        b"INVITE sip:user@example.com SIP/2.0", b"invut", b"Content-Type: application/unknownformat", body=b"<audio/>"
    ),
    "regaut01": _message(
        b"REGISTER sip:example.com SIP/2.0",
        b"regaut01",
        fields=b"Authorization: NoOneKnowsThisScheme opaque-data=here\r\n",
    ),
    "multi01": _message(
        b"INVITE sip:user@company.com SIP/2.0",
        b"multi01",
        fields=b"CSeq: 59 INVITE\r\nTo: sip:other@example.net\r\nFrom: sip:x@y;tag=5\r\n"
        b"Call-ID: another\r\nMax-Forwards: 5\r\n",
        body=_BODY,
    ),
    "mcl01": _message(
        b"OPTIONS sip:user@example.com SIP/2.0",
        b"mcl01",
        fields=b"Content-Length: 5\r\n",
        body=b"There's no way to know",
    ),
    "bcast": _message(
        b"SIP/2.0 200 OK", b"bcast", b"Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23", b"CSeq: 1 INVITE"
    ),
    "zeromf": _message(b"OPTIONS sip:user@example.com SIP/2.0", b"zeromf", b"Max-Forwards: 0"),
    "cparam": _message(
        b"REGISTER sip:example.com SIP/2.0", b"cparam", b"Contact: sip:+19725552222@gw1.example.net;unknownparam"
    ),
    "regescrt": _message(
        b"REGISTER sip:example.com SIP/2.0",
        b"regescrt",
        b"Contact: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>",
    ),
    "sdp01": _message(INVITE, b"sdp01", fields=b"Accept: text/nobodyKnowsThis\r\n", body=_BODY),
    "inv2543": _message(
        INVITE,
        b"inv2543",
        b"Via: SIP/2.0/UDP iftgw.example.com",
        b"Max-Forwards: absent",
        b"Contact: absent",
        body=_BODY,
    ),
}

NO_SIP: dict[str, bytes] = {
    "nothing": b"",
    "zeros": bytes(2000),
    "line ends": b"\r\n" * 800,
    "one line": b"INVITE " + b"a" * 9000 + b" SIP/2.0\r\n\r\n",
    "bare start": b"OPTIONS sip:1@avisio SIP/2.0\r\n\r\n",
    "thousand fields": _message(b"OPTIONS sip:1@avisio SIP/2.0", b"many", fields=b"X: y\r\n" * 1000),
    "long field": _message(b"OPTIONS sip:1@avisio SIP/2.0", b"long", fields=b"X: " + b"y" * 30_000 + b"\r\n"),
    "long sdp": _message(INVITE, b"longsdp", body=_BODY + b"a=x:" + b"y" * 50_000 + b"\r\n"),
    "many media": _message(INVITE, b"media", body=_BODY + b"m=audio 9 RTP/AVP 0\r\n" * 700),
    "stun": bytes.fromhex("000100002112a442") + bytes(12),
    "tls": bytes.fromhex("16030100a5010000a10303") + bytes(200),
}


def truncated(message: bytes, step: int = 17) -> Iterator[bytes]:
    """Every beginning of a good message, `step` octets apart."""
    for length in range(1, len(message), step):
        yield message[:length]


def damaged(message: bytes, count: int, seed: int = 4475) -> Iterator[bytes]:
    """A good message with some octets replaced, removed or doubled; the same ones in each run."""
    dice = random.Random(seed)
    for _ in range(count):
        octets = bytearray(message)
        for _ in range(dice.randrange(1, 8)):
            place = dice.randrange(len(octets))
            match dice.randrange(4):
                case 0:
                    octets[place] = dice.randrange(256)
                case 1:
                    del octets[place : place + dice.randrange(1, 30)]
                case 2:
                    octets[place:place] = octets[place : place + dice.randrange(1, 60)] * dice.randrange(1, 8)
                case _:
                    octets[place:place] = dice.choice(
                        (b"\x00", b"\r\n", b"%00", b"9" * 20, b'"', b"<", b";", b"\xff\xfe")
                    )
        yield bytes(octets)
