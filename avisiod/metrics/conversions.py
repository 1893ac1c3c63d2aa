"""Metrics of converted pictures."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

NOT_SHOWN = ("incomplete", "undecodable", "awaiting", "late", "surplus", "overrun", "link_full")
"""Why a transcoder left something out. Frames: a packet of it was lost; no decoder takes it; it builds on one that is
missing; the processor was too slow, from here to the next keyframe, or for this one. Packets: they came faster than
they were taken, by the transcoder or by the media worker."""


class ConversionMetrics:
    """Calls whose pictures are converted, and the transcoders."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Gauge("avisiod_transcoded_calls", "Calls whose pictures are converted.", registry=registry)
        self._refused = Counter(
            "avisiod_transcoding_refused",
            "Pages without H.264 that had sound only, for want of a transcoder.",
            registry=registry,
        )
        self._pictures = Counter(
            "avisiod_transcoded_pictures", "Pictures made by transcoders.", ["towards"], registry=registry
        )
        self._dropped = Counter(
            "avisiod_transcoder_dropped", "Frames and packets that were not shown.", ["why"], registry=registry
        )
        self._seen: dict[tuple[int, str], int] = {}
        self._refused_before = 0
        for towards in ("phone", "page"):
            self._pictures.labels(towards)
        for why in NOT_SHOWN:
            self._dropped.labels(why)

    def looked(self, converted: int, refused: int) -> None:
        """So many calls are converted now; so many were refused since the start."""
        self._calls.set(converted)
        self._refused.inc(max(0, refused - self._refused_before))
        self._refused_before = refused

    def counted(self, worker: int, pictures: Mapping[str, int], dropped: Mapping[str, int]) -> None:
        """Counters of a transcoder since it started; one that starts again begins at 0."""
        for towards in ("phone", "page"):
            self._add(self._pictures.labels(towards), worker, towards, pictures.get(towards, 0))
        for why in NOT_SHOWN:
            self._add(self._dropped.labels(why), worker, why, dropped.get(why, 0))

    def _add(self, counter: Counter, worker: int, what: str, total: int) -> None:
        before = self._seen.get((worker, what), 0)
        counter.inc(total - before if total >= before else total)
        self._seen[worker, what] = total
