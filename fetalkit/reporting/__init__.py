"""From executed notebooks to pages, cards, the test log and the tables of the README."""

import fetalkit.utils.light  # noqa: F401
