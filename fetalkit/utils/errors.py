"""The one exception whose message is meant for the user."""


class FetalkitError(Exception):
    """A problem the user can act on: one line that says which file or key, what is wrong and what to do."""
