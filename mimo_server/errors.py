"""The server's one error tree.

MimoError
├── SettingsError        an option, an environment variable, a file or the data folder does not fit: exit 2
├── LimitError           a bound is full: answered at once, nothing is queued without end
├── InvalidError         an argument that its schema cannot exclude: a vector with NaN, a cursor of another search
├── NotFoundError        what was named is not there (any more)
├── StoreError           the database could not do it: disk full, I/O error, corrupt row; nothing was half done
├── EmbeddingError       no embedding could be had; nothing was stored and nothing searched
├── SkillError           a skill could not be started, answered an error, or broke the protocol
│   ├── SkillEndedError    it ended in mid-call
│   ├── SkillLateError     it did not answer in time; a late answer is nobody's
│   └── SkillClosedError   it failed too often, and is not started again before its restart budget has recovered
└── ProcedureError       a procedure is malformed, or an event does not fit its state
"""


class MimoError(Exception):
    """Every message says what, which value, and what to do next; it may be shown to the caller of a tool."""


class SettingsError(MimoError):
    """The server cannot start as told."""


class LimitError(MimoError):
    """A bound is full."""


class InvalidError(MimoError):
    """An argument is wrong in a way that no schema says."""


class NotFoundError(MimoError):
    """There is nothing of that name or number."""


class StoreError(MimoError):
    """The database failed."""


class EmbeddingError(MimoError):
    """A text could not be turned into a vector."""


class SkillError(MimoError):
    """A skill did not do what was asked."""


class SkillEndedError(SkillError):
    """Its process ended, or its output did."""


class SkillLateError(SkillError):
    """No answer in time."""


class SkillClosedError(SkillError):
    """Its restart budget is used up."""


class ProcedureError(MimoError):
    """A procedure cannot run, or cannot go on like this."""
