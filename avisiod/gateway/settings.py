"""What `Configure` carries to a worker, as JSON: its share of the configuration, nothing secret."""

import msgspec


class MediaWorkerSettings(msgspec.Struct, kw_only=True, frozen=True):
    """What `Configure` carries to a media worker; its own share of the port ranges is already cut out."""

    worker: int
    phone_address: str
    phone_ports: tuple[int, int]
    outside_address: str
    outside_address_ipv6: str = ""
    outside_announced: str
    outside_ports: tuple[int, int]
    phone_silent_s: float
    phone_muted_s: float
    outside_silent_s: float
    behind_nat: bool
    audio_codecs: tuple[str, ...]
    encryption: str
    keys_need_tls: bool
    prompts_folder: str
    keep_free_bytes: int
    cpus: tuple[int, ...] = ()
    nice: int = 0
    log_level: str


class SipWorkerSettings(msgspec.Struct, kw_only=True, frozen=True):
    """What `Configure` carries to a SIP worker."""

    worker: int
    address: str
    port: int
    edge: tuple[str, ...]
    session_expires_s: int
    ring_again_s: float = 5.0
    """Between two 180 while control decides; well below fr_inv_timer of the edge, which then tries another worker."""
    dialogues: int
    """More than these at once are turned away; PJSIP may have been built for fewer."""
    log_level: str


class TranscodeWorkerSettings(msgspec.Struct, kw_only=True, frozen=True):
    """What `Configure` carries to a transcoder."""

    worker: int
    log_level: str


media_settings: msgspec.json.Decoder[MediaWorkerSettings] = msgspec.json.Decoder(MediaWorkerSettings)
sip_settings: msgspec.json.Decoder[SipWorkerSettings] = msgspec.json.Decoder(SipWorkerSettings)
transcode_settings: msgspec.json.Decoder[TranscodeWorkerSettings] = msgspec.json.Decoder(TranscodeWorkerSettings)
