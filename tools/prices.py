"""List prices: tools/prices.toml, which says of what day they are and which page decides."""

import tomllib
from pathlib import Path
from typing import Any

PRICES: dict[str, Any] = tomllib.loads(Path(__file__).with_name("prices.toml").read_text())


def usd(name: str) -> float:
    """The price of one unit. Raises KeyError."""
    return float(PRICES["prices"][name]["usd"])
