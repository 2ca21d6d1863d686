"""The server's one error tree.

MimoError
├── SettingsError   an option or the data folder does not fit: exit 2
├── LimitError      a bound is full: the call is answered with an error, nothing is queued without end
└── SkillError      a skill could not be started, ended in mid-call, answered an error or not in time
"""


class MimoError(Exception):
    """Every message says what, which value, and what to do next; it may be shown to the caller of a tool."""


class SettingsError(MimoError):
    """The server cannot start as told."""


class LimitError(MimoError):
    """A registry is full."""


class SkillError(MimoError):
    """A skill did not do what was asked."""
