"""The one exception for what a user gave wrong.

A `UserError` carries one sentence that names the file or key, says what was expected and what to
do. The command line prints that sentence and exits with code 2; everything else is a defect of
the program and keeps its traceback.
"""


class UserError(Exception):
    """What the user gave cannot be used; the message is the sentence to show."""


class Unreachable(UserError):
    """Where the user's data lie does not answer for now, which says nothing about the data."""


class NoScorer(UserError):
    """A model that generates was never given a reward."""
