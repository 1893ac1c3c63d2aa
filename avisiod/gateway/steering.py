"""What a sender of video is told to send at most: by what we miss of it, and by what its receiver says. Pure."""

from avisiod.gateway.bandwidth import Bitrate, StandingDelay
from avisiod.gateway.reception import Reception

INTERVAL_S = 1.0

FIRST_BITRATE = 800_000
"""Bit/s that a page may send at once, before any loss is known; mobile networks take it."""


class Steering:
    """Watches the reception of one video stream; `look` a few times a second."""

    def __init__(self, reception: Reception, ceiling: int) -> None:
        """`ceiling`: what was agreed, in bit/s."""
        self.ceiling = ceiling
        self.reception = reception
        self._rate = Bitrate(min(FIRST_BITRATE, ceiling), ceiling)
        self._delay = StandingDelay()
        self._standing_s = 0.0
        self._due = 0.0
        self._packets = reception.packets
        self._octets = reception.octets
        self._gaps = 0
        self._reported = 0.0

    @property
    def bitrate(self) -> int:
        """Bit/s that the sender may send."""
        return self._rate.bitrate

    def look(self, now: float, takes: int, reported: float) -> bool:
        """Time has passed; whether the sender should be told, about once a second.

        `takes`: what the receiver asked for at most, in bit/s, 0 where it did not ask. `reported`: the share that it
        has lost, where it told since the last time.
        """
        reception = self.reception
        if reception.packets:
            self._standing_s = max(self._delay.sample(reception.delay_s, now), 0.0)
        self._reported = max(self._reported, reported)
        if now < self._due:
            return False
        self._due = now + INTERVAL_S
        gaps = reception.losses.gaps if reception.losses is not None else 0
        self._rate.ceiling = min(self.ceiling, takes) if takes else self.ceiling
        self._rate.observe(
            now,
            packets=reception.packets - self._packets,
            lost=max(gaps - self._gaps, 0),
            bits=8 * (reception.octets - self._octets),
            delay_s=self._standing_s,
            reported=self._reported,
        )
        self._reported = 0.0
        self._packets, self._octets, self._gaps = reception.packets, reception.octets, gaps
        return True
