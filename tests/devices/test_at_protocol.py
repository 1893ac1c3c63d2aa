import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.devices.at_protocol import LINE_LIMIT, Dialogue, Noise, Prompt, Reply, Unsolicited

CDS = "079119890400202306400C91190000000000511090718384225110907183252200"


def asked(line="AT+CSQ", **options):
    dialogue = Dialogue()
    dialogue.command(line, **options)
    return dialogue


def test_a_command_is_a_line_with_cr():
    assert Dialogue().command("AT") == b"AT\r"


@pytest.mark.parametrize("echo", [b"", b"AT+CSQ\r", b"AT+CSQ\r\r\n"])
def test_an_answer_is_the_same_with_and_without_echo(echo):
    dialogue = asked(prefix="+CSQ:")
    assert dialogue.receive(echo + b"\r\n+CSQ: 20,99\r\n\r\nOK\r\n") == [Reply("ok", ("+CSQ: 20,99",))]
    assert not dialogue.busy


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("OK", Reply("ok")),
        ("ERROR", Reply("error")),
        ("COMMAND NOT SUPPORT", Reply("error")),
        ("+CME ERROR: 10", Reply("cme", code=10)),
        ("+CME ERROR:10", Reply("cme", code=10)),
        ("+CME ERROR: SIM not inserted", Reply("cme")),
        ("+CMS ERROR: 500", Reply("cms", code=500)),
    ],
)
def test_final_results(line, reply):
    assert asked().receive(f"\r\n{line}\r\n".encode()) == [reply]


@given(st.lists(st.integers(0, 90), max_size=8))
def test_pieces_of_any_size_give_the_same_events(cuts):
    heard = b'AT+CSQ\r\r\n+CMTI: "SM",3\r\n\r\n+CSQ: 20,99\r\n\r\n+CDS: 26\r\n' + CDS.encode() + b"\r\n\r\nOK\r\n"
    edges = sorted({0, len(heard), *(min(c * 2, len(heard)) for c in cuts)})
    dialogue = asked(prefix="+CSQ:")
    events = [e for a, b in itertools.pairwise(edges) for e in dialogue.receive(heard[a:b])]
    assert events == [
        Unsolicited('+CMTI: "SM",3'),
        Unsolicited("+CDS: 26", CDS),
        Reply("ok", ("+CSQ: 20,99",)),
    ]


@pytest.mark.parametrize("line", ["+CREG: 1", "RDY", "^BOOT:1,0", '+CMTI: "ME",1', "RING", "*ATREADY: 1"])
def test_unsolicited_lines_may_come_in_the_middle_of_an_answer(line):
    dialogue = asked(prefix="+CSQ:")
    events = dialogue.receive(f"\r\n+CSQ: 1,99\r\n\r\n{line}\r\n\r\nOK\r\n".encode())
    assert events == [Unsolicited(line), Reply("ok", ("+CSQ: 1,99",))]


@pytest.mark.parametrize(
    ("line", "restart"), [("RDY", True), ("^BOOT:3", True), ("+CREG: 1", False), ("RING", False)]
)
def test_a_restart_is_recognised(line, restart):
    (event,) = Dialogue().receive(f"\r\n{line}\r\n".encode())
    assert event.restart is restart


def test_the_prompt_comes_without_a_line_end_and_after_other_lines():
    dialogue = asked("AT+CMGS=30", prefix="+CMGS:", required=True, prompt=True)
    assert dialogue.receive(b"AT+CMGS=30\r\r\n+CREG: 1\r\n\r\n") == [Unsolicited("+CREG: 1")]
    assert dialogue.receive(b">") == [Prompt()]
    assert dialogue.payload("00AB") == b"00AB\x1a"
    assert dialogue.receive(b" 00AB\x1a\r\n\r\n+CMGS: 5\r\n\r\nOK\r\n") == [Reply("ok", ("+CMGS: 5",))]


def test_a_prompt_that_nobody_wants_is_noise():
    assert Dialogue().receive(b"\r\n> \r\n") == [Noise(2)]
    assert asked().receive(b"\r\n> \r\nOK\r\n") == [Noise(2), Reply("ok")]


def test_a_message_before_the_prompt_is_a_mistake_of_the_caller():
    dialogue = asked("AT+CMGS=30", prompt=True)
    with pytest.raises(RuntimeError):
        dialogue.payload("00")
    with pytest.raises(RuntimeError):
        dialogue.command("AT")


def test_an_error_in_place_of_the_prompt_is_the_answer():
    dialogue = asked("AT+CMGS=30", prefix="+CMGS:", required=True, prompt=True)
    assert dialogue.receive(b"\r\n+CMS ERROR: 310\r\n") == [Reply("cms", code=310)]


def test_cancel_leaves_text_entry_and_the_late_answer_is_not_taken_for_the_next_one():
    dialogue = asked("AT+CMGS=30", prefix="+CMGS:", required=True, prompt=True)
    assert dialogue.cancel() == b"\x1b\r"
    dialogue.command("AT+CMEE?", prefix="+CMEE:", required=True)
    assert dialogue.receive(b"\r\nOK\r\n") == [Noise(2)]
    assert dialogue.receive(b"\r\n+CMEE: 1\r\n\r\nOK\r\n") == [Reply("ok", ("+CMEE: 1",))]


def test_a_body_without_prefix_belongs_to_the_answer():
    dialogue = asked("AT+CMGR=3", prefix="+CMGR:", body=True)
    assert dialogue.receive(f"\r\n+CMGR: 0,,25\r\n{CDS}\r\n\r\nOK\r\n".encode()) == [
        Reply("ok", ("+CMGR: 0,,25", CDS))
    ]


def test_a_report_without_its_pdu_takes_nothing_else_with_it():
    dialogue = asked()
    assert dialogue.receive(b"\r\n+CDS: 25\r\n\r\nOK\r\n") == [Reply("ok")]


def test_an_endless_line_is_bounded_and_the_next_one_is_read():
    dialogue = asked()
    for _ in range(100):
        assert dialogue.receive(b"x" * 1000) == []
        assert len(dialogue._buffer) <= LINE_LIMIT
    assert dialogue.receive(b"\r\nOK\r\n") == [Noise(100_000), Reply("ok")]


@given(st.lists(st.binary(max_size=60), max_size=20), st.booleans())
def test_no_octets_break_it_and_the_dialogue_goes_on(pieces, prompt):
    dialogue = asked("AT+CMGS=3", prompt=prompt)
    for piece in pieces:
        dialogue.receive(piece)
    dialogue.receive(b"\r\n\r\n")
    dialogue.cancel()
    dialogue.command("AT+CMEE?", prefix="+CMEE:", required=True)
    assert dialogue.receive(b"\r\n+CMEE: 1\r\n\r\nOK\r\n")[-1] == Reply("ok", ("+CMEE: 1",))


def test_no_repr_shows_what_was_said():
    for event in Dialogue().receive(f'\r\n+CMT: "+33612345678"\r\n{CDS}\r\n+33612345678 123456\r\n'.encode()):
        assert "33612345678" not in repr(event)
        assert CDS not in repr(event)
    assert "336" not in repr(Reply("ok", ("+33612345678",)))


def test_value_reads_the_last_line_of_the_prefix():
    assert Reply("ok", ("+CREG: 0,2", "+CREG: 0,1")).value("+CREG:") == "0,1"
    assert Reply("ok").value("+CREG:") == ""
