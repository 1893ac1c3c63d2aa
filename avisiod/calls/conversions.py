"""Whose pictures may be converted, now: admission of a page that does not know the phones' video codec."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ConversionFacts:
    """What decides whether one more call may have its pictures converted."""

    ceiling: int
    """The site's own; 0: never."""
    converted: int
    """Calls that are converted now."""
    free: int
    """Transcoders that run and have nothing to do."""


def may_convert(facts: ConversionFacts) -> bool:
    """Whether a page without the phones' video codec gets pictures; if not, it is joined with sound only.

    Asked when such a page joins: which browser a relative will use is not known when the phone dials.
    """
    return facts.converted < facts.ceiling and facts.free > 0
