"""What phones and browsers send: moving pictures and speech, made once by ffmpeg and espeak-ng into build/assets."""

import fcntl
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "build" / "assets"
SIZE, RATE = "640x480", 25
FLASH_S = 0.1
"""Flash and beep of the sync media last so long, at the beginning of every second."""
BEEP_HZ = 1000
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf"

SPEECH = {
    "CELLULE": "Bonjour, c'est moi, je t'appelle de la cellule. Tu me vois bien? Moi je te vois. "
    "Raconte-moi, comment vont les enfants?",
    "FAMILLE": "Bonjour mon grand, oui, je te vois et je t'entends. Les enfants vont bien, ils t'embrassent. "
    "Ici il fait beau, et toi, comment vas-tu?",
}
VOICE = {"CELLULE": ("fr+m3", "45"), "FAMILLE": ("fr+f2", "60")}


def speech(party: str = "CELLULE") -> Path:
    """A few sentences in French, mono WAV, 48 kHz, about 8 s, loud enough to be measured."""
    voice, pitch = VOICE[party]
    raw = FOLDER / f"speech-{party}-raw.wav"

    def make(path: Path) -> None:
        _run("espeak-ng", "-v", voice, "-p", pitch, "-s", "150", "-w", raw, SPEECH[party])
        _run("sox", raw, "-r", "48000", "-c", "1", "-b", "16", path, "gain", "-n", "-3", "pad", "0.2", "0.3")

    return _made(f"speech-{party}.wav", make)


def talk(party: str = "CELLULE", rate: int = 8000, channels: int = 1, seconds: int = 300) -> Path:
    """The sentences of `speech` again and again, at the rate and with the channels that a codec wants."""
    voice = speech(party)
    return _made(
        f"talk-{party}-{rate}-{channels}-{seconds}.wav",
        lambda path: _run(
            "sox", voice, "-r", str(rate), "-c", str(channels), "-t", "wav", path,
            "repeat", str(seconds // 5), "trim", "0", str(seconds),
        ),
    )  # fmt: skip


def beeps(rate: int = 8000, channels: int = 1, seconds: int = 300) -> Path:
    """A 1 kHz beep at the beginning of every second: the sound of `flashes`."""
    source = f"aevalsrc='if(lt(mod(t,1),{FLASH_S}),0.5*sin(2*PI*{BEEP_HZ}*t),0)':s={rate}:d={seconds}"
    return _made(
        f"beeps-{rate}-{channels}-{seconds}.wav",
        lambda path: _run(*_FFMPEG, "-f", "lavfi", "-i", source, "-ac", str(channels), "-f", "wav", path),
    )


def movie(party: str = "CELLULE", seconds: int = 60) -> Path:
    """A moving test picture with a clock and the party's name: H.264 without B-frames, and no sound.

    A phone's camera. (With a sound track in the file baresip 1.0 aborts.)
    """
    return _made(f"movie-{party}-{seconds}.mp4", lambda path: _encode(_picture(party), [], seconds, path))


def flashes(seconds: int = 60) -> Path:
    """A white flash at the beginning of every second, on a dim moving picture; no sound."""
    return _made(f"flashes-{seconds}.mp4", lambda path: _encode(_flashing(), [], seconds, path))


def sync_movie(seconds: int = 10, late_s: float = 0.0) -> Path:
    """Flash and beep in the same instant once a second, in Matroska; `late_s` delays the beep on purpose."""
    beep = f"aevalsrc='if(lt(mod(t+1-{late_s},1),{FLASH_S}),0.5*sin(2*PI*{BEEP_HZ}*t),0)':s=48000"
    return _made(
        f"sync-{seconds}-{round(late_s * 1000)}.mkv",
        lambda path: _encode(_flashing(), ["-f", "lavfi", "-i", beep, "-map", "0:v", "-map", "1:a"], seconds, path),
    )


def flashes_stream(seconds: int = 10) -> Path:
    """The picture of `flashes` as a bare H.264 stream, each NAL unit small enough for one packet, a delimiter before
    each picture, and a keyframe with its parameter sets once a second."""
    return _made(
        f"flashes-{seconds}.h264",
        lambda path: _run(
            *_FFMPEG, "-f", "lavfi", "-i", _flashing(), "-t", str(seconds), "-c:v", "libx264", "-preset", "ultrafast",
            "-tune", "zerolatency", "-profile:v", "baseline", "-pix_fmt", "yuv420p", "-b:v", "800k",
            "-x264-params", f"slice-max-size=1100:aud=1:keyint={RATE}:min-keyint={RATE}:scenecut=0:bframes=0",
            "-f", "h264", path,
        ),
    )  # fmt: skip


def beeps_alaw() -> Path:
    """One second of the sound of `beeps` as bare A-law samples, 8000 Hz."""
    return _made(
        "beeps.alaw",
        lambda path: _run(*_FFMPEG, "-i", beeps(), "-t", "1", "-c:a", "pcm_alaw", "-f", "alaw", path),
    )


def camera(party: str = "FAMILLE", seconds: int = 10) -> Path:
    """MJPEG for Chromium's --use-file-for-fake-video-capture, which plays it in a loop."""
    return _made(
        f"camera-{party}-{seconds}.mjpeg",
        lambda path: _run(
            *_FFMPEG, "-f", "lavfi", "-i", _picture(party), "-t", str(seconds), "-c:v", "mjpeg", "-q:v", "6",
            "-pix_fmt", "yuvj420p", "-f", "mjpeg", path,
        ),
    )  # fmt: skip


_FFMPEG = ("ffmpeg", "-nostdin", "-loglevel", "error", "-y")


def _picture(party: str) -> str:
    hue = ",hue=h=140" if party == "FAMILLE" else ""
    return (
        f"testsrc2=size={SIZE}:rate={RATE}{hue},drawbox=x=120:y=170:w=400:h=140:c=black@0.7:t=fill,"
        f"drawtext=fontfile={FONT}:text={party}:fontsize=64:fontcolor=white:x=(w-tw)/2:y=185,"
        f"drawtext=fontfile={FONT}:text='%{{pts\\:hms}}':fontsize=36:fontcolor=white:x=(w-tw)/2:y=260"
    )


def _flashing() -> str:
    return (
        f"testsrc2=size={SIZE}:rate={RATE},lutyuv=y=16+(val-16)/3,"
        f"drawbox=c=white:t=fill:enable='lt(mod(t,1),{FLASH_S - 0.001})'"
    )


def _encode(video: str, more_input: list[str], seconds: int, path: Path) -> None:
    _run(
        *_FFMPEG, "-f", "lavfi", "-i", video, *more_input, "-t", str(seconds),
        "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-profile:v", "baseline", "-bf", "0",
        "-g", str(RATE), "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le",
        "-f", "matroska" if path.suffix == ".mkv" else "mp4", path,
    )  # fmt: skip


def _made(name: str, make: Callable[[Path], None]) -> Path:
    """The asset of that name, made aside and renamed, by one process at a time."""
    path = FOLDER / name
    if path.exists():
        return path
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            unfinished = path.with_name(f".unfinished-{os.getpid()}-{name}")
            make(unfinished)
            unfinished.rename(path)
    return path


def _run(*argv: str | Path) -> None:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{argv[0]} failed: {done.stderr.strip()}")
