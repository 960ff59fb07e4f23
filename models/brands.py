"""Which brand a design belongs to by its name, which brands are left out, and which are kept for the judge alone."""
import hashlib
import re
from pathlib import Path

EXCLUDED = Path(__file__).with_name("excluded.txt")
RESERVED_SHARE = 0.15  # of the brands, seen by the calibration set only, so that the judge is fitted on marks the network never saw
# Endings that name a version of a brand's mark, not another brand.
VERSION = re.compile(r"-(icon|wordmark|plain|original|line|dark|light|alt|logo|filled|color|square|circle|old|new)(?=-|$)")


def excluded_names():
    """Lower-case brand names that may not appear (see excluded.txt)."""
    return {line.strip() for line in EXCLUDED.read_text().splitlines() if line.strip() and not line.startswith("#")}


def is_excluded(name, excluded):
    """True when an excluded brand stands in the design's name: as a word or two, at its start (4 letters and more: 'applepay') or anywhere (6)."""
    words = [w for w in re.split(r"[-_: ]", name.lower()) if w]
    joined = "".join(words)
    pairs = [a + b for a, b in zip(words, words[1:])]
    plain = {e.replace("-", "") for e in excluded}
    if (set(words) | set(pairs) | {joined}) & plain:
        return True
    return any(len(e) >= 6 and e in joined or len(e) >= 4 and joined.startswith(e) for e in plain)


def brand_key(name):
    """The brand a design's name belongs to: 'vue-wordmark', 'vuedotjs' and 'vue' -> 'vue'."""
    plain = re.sub(r"[^a-z0-9]", "", VERSION.sub("", name.lower())).replace("dotjs", "js")
    return plain[:-2] if plain.endswith("js") and len(plain) > 4 else plain


def is_reserved(brand):
    """True for the brands (keys of `brand_key`) that only the judge's calibration set may show: 15 % of them, by hash, always the same."""
    plain = brand.rsplit(":", 1)[-1]
    return int(hashlib.sha256(plain.encode()).hexdigest()[:8], 16) < RESERVED_SHARE * 2**32
