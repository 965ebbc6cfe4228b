"""Scripts of pages: stored once in each page that needs them, and run by no other right than their hash.

Sorting and filtering is DataTables, as the package itables bundles it; a page without a long table does without.
"""

import base64
import hashlib
import re
from functools import cache
from importlib import resources
from pathlib import Path

from fetalkit.utils.errors import FetalkitError

TEMPLATES = Path(__file__).with_name("templates")
NONE = "script-src 'none'"
_SORTS = re.compile(r'class="fetalkit table[^"]* sorts')


def embedded(html: str) -> str:
    """A page with the scripts that it needs before the end of its body, and their hashes in its policy."""
    texts = [_own(), *([_sorting()] if _SORTS.search(html) else [])]
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(of.encode()).digest()).decode()}'" for of in texts)
    before, end, after = html.rpartition("</body>")
    elements = "".join(f'<script type="module">{of}</script>\n' for of in texts)
    return before.replace(NONE, f"script-src {hashes}", 1) + elements + end + after


@cache
def _own() -> str:
    return (TEMPLATES / "page.js").read_text(encoding="utf-8")


@cache
def _sorting() -> str:
    """The bundle as one module with what uses it: an import would be a request."""
    bundle = resources.files("itables").joinpath("html", "dt_bundle.js").read_text(encoding="utf-8")
    code, _, rest = bundle.rpartition("export{")
    exports, _, licences = rest.partition("}")
    named = {outer: inner for inner, _, outer in (part.strip().partition(" as ") for part in exports.split(","))}
    if "default" not in named or "</script" in bundle.lower():
        raise FetalkitError("itables: its bundle is built in another way; install the version in requirements.lock")
    use = (TEMPLATES / "tables.js").read_text(encoding="utf-8")
    return f"{code}const Tables = {named['default']};\n{use}{licences.lstrip(';')}"
