"""How an exception that nobody foresaw is told: what and where, never its text, which may hold a code."""

import traceback
from pathlib import Path


def described(error: BaseException) -> str:
    """`KeyError in modem.py:120, at_session.py:88`."""
    frames = traceback.extract_tb(error.__traceback__)
    places = ", ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
    return f"{type(error).__name__} in {places or 'an unknown place'}"
