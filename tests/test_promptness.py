"""Control is not held up by itself: checked in a process apart, for both last as long as the process."""

import subprocess
import sys

PROGRAM = """
import gc, sys
from avisiod import promptness
promptness.share()
loaded = [{} for _ in range(1000)]
promptness.settle()
ours = {id(each) for each in loaded}
print(sys.getswitchinterval() < 0.001, not any(id(each) in ours for each in gc.get_objects()))
"""


def test_threads_take_turns_quickly_and_what_is_loaded_is_not_walked_again() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True True\n"
