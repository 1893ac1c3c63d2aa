"""What the phone hears and sees while no relative is there, as RTP payloads ready to be sent.

Sound comes from WAV files, LANGUAGE/NAME.wav: the site's own before ours. Encoding blocks for some milliseconds a
prompt: call `prepare` in a thread before; what it prepared is kept for the life of the worker, and `audio` and
`picture` then answer at once.
"""

import functools
import logging
import math
import struct
import threading
from collections.abc import Iterable
from pathlib import Path

import av

from avisiod.gateway import pictures
from avisiod.gateway.leg import Codec
from avisiod.gateway.parameter_sets import Size
from avisiod.gateway.prompt_catalogue import DEFAULT_LANGUAGE, IN_A_ROW, WARNING, language, languages

log = logging.getLogger(__name__)

FRAME_S = 0.02
"""Sound in one payload."""
MOST_TIMES = 16
"""Pictures with a time that are kept."""
MAX_PROMPT_S = 60.0
"""A WAV is cut off here: the site's own may be anything."""

_INSTALLED = Path("/usr/share/avisiod/prompts")
_BUILT = Path(__file__).resolve().parents[2] / "build" / "prompts"
_TONE_RATE = 16000
_ENCODERS = {
    "PCMA": ("pcm_alaw", 8000),
    "PCMU": ("pcm_mulaw", 8000),
    "G722": ("g722", 16000),
    "OPUS": ("libopus", 48000),
}


def made_folder() -> Path:
    """Where `make-prompts` has put ours: in the package's data when installed, in build/ of a working copy."""
    return _BUILT if _BUILT.is_dir() else _INSTALLED


class Prompts:
    """Prompts and pictures of one worker. Safe to use from several threads."""

    def __init__(self, site_folder: str = "", folder: Path | None = None) -> None:
        """`site_folder` is `media.prompts_folder`, empty for none; `folder` is that of our own."""
        own = folder if folder is not None else made_folder()
        self._folders = [Path(site_folder), own] if site_folder else [own]
        self._sounds: dict[tuple[str, str, str], tuple[bytes, ...]] = {}
        self._pictures: dict[tuple[str, str, Size], tuple[bytes, ...]] = {}
        self._lock = threading.Lock()
        self._told: set[str] = set()

    def prepare(self, language_codes: Iterable[str], codecs: Iterable[Codec]) -> None:
        """Encode everything in these languages for these codecs, audio and video. Blocks; cheap when done before."""
        codecs = tuple(codecs)
        for code in language_codes:
            texts = language(code)
            for codec in codecs:
                if codec.name == "H264":
                    for name, text in texts.prompts.items():
                        if text.title:
                            self.picture(name, code, codec)
                else:
                    for name in texts.spoken():
                        self.audio(name, code, codec)

    def audio(self, name: str, language_code: str, codec: Codec) -> tuple[bytes, ...]:
        """Payloads of 20 ms each, in order. Never raises: a prompt that cannot be had becomes a short tone.

        `one+other` are two prompts in a row.

        A timestamp advances by `codec.clock_rate / 50` from one payload to the next.
        """
        key = (name, language_code, codec.name)
        payloads = self._sounds.get(key)
        if payloads is None:
            parts = name.split(IN_A_ROW)
            if len(parts) > 1:
                return tuple(payload for part in parts for payload in self.audio(part, language_code, codec))
            with self._lock:
                payloads = self._sounds[key] = self._sounds.get(key) or self._sound(name, language_code, codec)
        return payloads

    def silence(self, codec: Codec) -> bytes:
        """One payload of 20 ms in which nothing is heard."""
        return _silence(codec.name)

    def picture(self, name: str, language_code: str, codec: Codec) -> tuple[bytes, ...]:
        """Payloads of one H.264 keyframe, SPS and PPS first, for either packetization-mode.

        All carry one timestamp, the last the marker. ValueError for a name that has no picture.
        """
        text = language(language_code).shown(name)
        if text is None:
            raise ValueError(f"there is no picture {name!r}")
        key = (name, language_code, pictures.size_for(codec.fmtp))
        payloads = self._pictures.get(key)
        if payloads is None:
            with self._lock:
                base = name.partition(IN_A_ROW)[0]
                payloads = self._pictures.get(key) or pictures.encode(pictures.render(base, text, key[2]))
                self._pictures[key] = payloads
                self._forget_times()
        return payloads

    def _forget_times(self) -> None:
        """Of the pictures with a time, of which there may be thousands, the latest are kept: many share one."""
        timed = [key for key in self._pictures if IN_A_ROW in key[0]]
        for key in timed[:-MOST_TIMES]:
            del self._pictures[key]

    def _sound(self, name: str, language_code: str, codec: Codec) -> tuple[bytes, ...]:
        for path in self._candidates(name, language_code):
            try:
                return _encoded(_samples(path, codec.name), codec.name)
            except (OSError, av.FFmpegError, ValueError) as error:
                self._tell(f"prompt {path} cannot be played and is passed over: {error}")
        self._tell(f"prompt {language_code}/{name} is missing, a tone takes its place: run make-prompts")
        return _tone_payloads(codec.name)

    def _candidates(self, name: str, language_code: str) -> list[Path]:
        code = language_code if language_code in languages() else DEFAULT_LANGUAGE
        codes = dict.fromkeys((language_code, code))
        names = (name, WARNING) if name.startswith(WARNING) else (name,)
        found = (folder / one / f"{each}.wav" for each in names for one in codes for folder in self._folders)
        return [path for path in found if path.is_file()]

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            log.warning("%s", text)


def _samples(path: Path, codec_name: str) -> bytes:
    """A WAV of any rate and channels as 16-bit mono samples at the rate of the codec's encoder."""
    rate = _ENCODERS[codec_name][1]
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
    samples = bytearray()
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            for piece in resampler.resample(frame):
                samples += bytes(piece.planes[0])[: piece.samples * 2]
            if len(samples) > MAX_PROMPT_S * rate * 2:
                break
        for piece in resampler.resample(None):
            samples += bytes(piece.planes[0])[: piece.samples * 2]
    if not samples:
        raise ValueError("there is no sound in it")
    return bytes(samples[: int(MAX_PROMPT_S * rate) * 2])


def _encoded(samples: bytes, codec_name: str) -> tuple[bytes, ...]:
    """Encode 16-bit mono samples at the codec's rate into payloads of FRAME_S; the last is filled with silence."""
    name, rate = _ENCODERS[codec_name]
    encoder = av.CodecContext.create(name, "w")
    if not isinstance(encoder, av.AudioCodecContext):
        raise TypeError(f"{name} is no audio encoder")
    encoder.sample_rate, encoder.layout, encoder.format = rate, "mono", "s16"
    if name == "libopus":
        encoder.bit_rate = 24000
        encoder.options = {"frame_duration": "20", "application": "voip"}
    per_frame = int(rate * FRAME_S)
    samples += bytes(-len(samples) % (per_frame * 2))
    payloads: list[bytes] = []
    for at in range(0, len(samples), per_frame * 2):
        frame = av.AudioFrame(format="s16", layout="mono", samples=per_frame)
        frame.sample_rate, frame.pts = rate, at // 2
        frame.planes[0].update(samples[at : at + per_frame * 2])
        payloads += [bytes(packet) for packet in encoder.encode(frame)]
    payloads += [bytes(packet) for packet in encoder.encode(None)]
    return tuple(payloads)


@functools.cache
def _silence(codec_name: str) -> bytes:
    return _encoded(bytes(int(_ENCODERS[codec_name][1] * FRAME_S) * 2), codec_name)[0]


@functools.cache
def _tone_payloads(codec_name: str) -> tuple[bytes, ...]:
    """Two short soft beeps."""
    rate = _ENCODERS[codec_name][1]
    samples = bytearray()
    for index in range(int(rate * 0.6)):
        at = index / rate
        level = 6000 * math.sin(math.pi * (at % 0.3) / 0.2) if at % 0.3 < 0.2 else 0.0
        samples += struct.pack("<h", round(level * math.sin(2 * math.pi * 440 * at)))
    return _encoded(bytes(samples), codec_name)
