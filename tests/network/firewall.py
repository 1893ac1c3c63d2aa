"""The firewall of etc/nftables, with the names and ports of a test's place."""

import re
from collections.abc import Mapping
from pathlib import Path

FILE = Path(__file__).resolve().parents[2] / "etc" / "nftables" / "avisiod.nft"


def defines() -> dict[str, str]:
    """What stands at the head of the file."""
    return dict(re.findall(r"(?m)^define (\w+) = (.*)$", FILE.read_text()))


def adapted(values: Mapping[str, str]) -> str:
    """The file with other values there; each must be one that it has."""
    text = FILE.read_text()
    for name, value in values.items():
        text, found = re.subn(rf"(?m)^define {name} = .*$", f"define {name} = {value}", text)
        assert found == 1, name
    return text
