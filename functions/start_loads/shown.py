"""How a key is shown to people: in logs as in the mails, whose `$shown` does the same.

Keys are anybody's. What is not plain stands as in a URL, so no key ends a line, is a link, turns
the direction of a text, or says anything to a shell.
"""

import re
from urllib.parse import quote

MAX_LENGTH = 240
# None of these is a top-level domain: a dot before another suffix could make a link.
SUFFIXES = "csv|tsv|txt|jsonl?|ndjson|parquet|orc|avro|xml|dat|log|gz|bz2|snappy|xz|zst"
LETTERS = (
    "\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0391-\u03a1\u03a3-\u03c9\u0400-\u0481\u048a-\u052f"
    "\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3"
)

_NOT_PLAIN = re.compile(
    rf" {{2,}}|^ | \Z|\.(?![0-9]|({SUFFIXES})(?![0-9A-Za-z]))|[^ .0-9A-Za-z_/=+,\-{LETTERS}]"
)


def shown(key: str) -> str:
    """The key for people: at most 240 characters on one line, all of them plain."""
    escaped = _NOT_PLAIN.sub(_escaped, key)
    if len(escaped) <= MAX_LENGTH:
        return escaped
    return f"{escaped[:120]}...{escaped[-117:]}"


def _escaped(found: re.Match[str]) -> str:
    text = found[0]
    if text.startswith(" "):
        return "%20" if len(text) == 1 else f"%20*{len(text)}"
    # What `quote` leaves.
    return {".": "%2E", "~": "%7E"}.get(text) or quote(text, safe="", errors="replace")
