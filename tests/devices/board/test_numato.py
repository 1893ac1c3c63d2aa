"""The lines of a Numato board: however they are cut up, and without a wait for each octet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.devices.board.numato import LONGEST, NoSense, Numato


class Port:
    """Gives an answer to each command, in parts of these sizes."""

    def __init__(self, answers, sizes=()):
        self.answers, self.sizes = list(answers), list(sizes)
        self.coming = b""
        self.reads = 0

    def write(self, data):
        self.coming += self.answers.pop(0) if self.answers else b""
        return len(data)

    def read(self, size, /):
        self.reads += 1
        part = min(size, self.sizes.pop(0) if self.sizes else size)
        taken, self.coming = self.coming[:part], self.coming[part:]
        return taken

    def reset_input_buffer(self):
        self.coming = b""


def read_of(place, value):
    return b"gpio read %d\n\r%d\n\r>" % (place, value)


@given(st.lists(st.integers(1, 20), max_size=40))
def test_an_answer_is_the_same_however_it_is_cut_up(sizes):
    board = Numato(Port([read_of(0, 1), read_of(1, 0), read_of(0, 0)], sizes))
    assert board.read_inputs([0, 1]) == {0: True, 1: False}
    assert board.read_inputs([0]) == {0: False}


def test_an_answer_that_is_there_is_taken_at_once():
    port = Port([read_of(0, 1), read_of(1, 0)])
    Numato(port).read_inputs([0, 1])
    assert port.reads == 2  # one for each answer: each waits for the interpreter


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "no answer"),
        (b"gpio read 0\n\r1\n\r", "no answer"),
        (b"gpio read 1\n\r1\n\r>", "without its question"),
        (b"gpio read 0\n\r2\n\r>", "neither 0 nor 1"),
        (b"x" * (LONGEST + 1) + b">", "more than an answer"),
        (b"\xff\x00flood>" * 20, "without its question"),
    ],
)
def test_what_makes_no_sense_is_refused(answer, why):
    with pytest.raises(NoSense, match=why):
        Numato(Port([answer])).read_inputs([0])


def test_what_came_behind_an_answer_belongs_to_no_other_question():
    port = Port([read_of(0, 1) + read_of(0, 0), b"", b">", read_of(0, 1)])
    board = Numato(port)
    assert board.read_inputs([0]) == {0: True}
    with pytest.raises(NoSense):
        board.read_inputs([1])  # an answer, but to another question
    board.begin()
    assert board.read_inputs([0]) == {0: True}
