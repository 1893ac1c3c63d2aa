"""Coverage-guided fuzzing (atheris) of everything that reads what strangers write: `make fuzz`.

Or one harness with `python -m tests.fuzz NAME`. A module here is one harness: `seeds()` are real messages to begin
with, `one(data)` reads one input and raises where a promise is broken. Nothing of avisiod is imported before it can
be instrumented.
"""

NAMES = ("rtp", "rtcp", "h264", "vp8", "sdp_phone", "sdp_browser", "sip", "datagram", "amp", "websocket", "http")
"""Every harness."""
