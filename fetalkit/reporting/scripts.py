"""Scripts of pages: stored in the page, and run by no other right than their hash."""

import base64
import hashlib
from functools import cache
from pathlib import Path

TEMPLATES = Path(__file__).with_name("templates")
NONE = "script-src 'none'"


def embedded(html: str) -> str:
    """A page with the scripts that it needs before the end of its body, and their hashes in its policy."""
    texts = [_own()]
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(of.encode()).digest()).decode()}'" for of in texts)
    before, end, after = html.rpartition("</body>")
    elements = "".join(f'<script type="module">{of}</script>\n' for of in texts)
    return before.replace(NONE, f"script-src {hashes}", 1) + elements + end + after


@cache
def _own() -> str:
    return (TEMPLATES / "page.js").read_text(encoding="utf-8")
