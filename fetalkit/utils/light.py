"""Imported before nbformat, so that nbformat is imported in a moment.

It checks notebooks by jsonschema, which builds a parser of addresses (``rfc3987_syntax``) when it is imported: a second or more
in every process that reads a notebook, for a format that no notebook has. jsonschema does without where the parser is absent.
"""

import sys

sys.modules.setdefault("rfc3987_syntax", None)  # pyright: ignore[reportArgumentType]
