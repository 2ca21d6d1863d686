"""The one error tree. A leak is never an error: an error means that we could not look.

LeakcheckError
├── UsageError            the command line or the configuration is wrong: exit 2
│   └── MissingExtra      a package of an optional extra is not installed
└── TargetError           the target could not be started or reached: exit 2
    ├── NotReady          no answer within the ready timeout, or garbage instead of one
    └── TargetDied        it ended on its own; what was seen until then is kept
"""


class LeakcheckError(Exception):
    """Every message says what, which value, and what to do next."""


class UsageError(LeakcheckError):
    """The command line or the configuration contradicts itself or names what does not exist."""


class MissingExtra(UsageError):
    """A package of an optional extra is not installed; the message holds the install command."""


class TargetError(LeakcheckError):
    """The target could not be started or reached."""


class NotReady(TargetError):
    """No valid first answer within the ready timeout."""


class TargetDied(TargetError):
    """The target ended on its own."""
