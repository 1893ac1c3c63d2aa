"""What a rule says of settings that break it."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """A rule that is broken. The problem is shown at the first key; all of them are what the rule has read."""

    keys: tuple[str, ...]
    reason: str
    remedy: str
