"""What every section of the settings is made of."""

from typing import Annotated

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=0, le=65535)]
PortRange = Annotated[tuple[int, int], Meta(description="first and last UDP port, both included")]
Seconds = Annotated[float, Meta(gt=0)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A section of the file: immutable, unknown keys refused."""
