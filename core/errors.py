"""Two families of errors: later may work, or never will. Raise the narrow leaf, catch the family."""


class ForecareError(Exception):
    """Base of all errors that a person may see.

    Parameters
    ----------
    message : str
        What went wrong and where.
    hint : str, optional
        How to mend it.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class RetryableError(ForecareError):
    """The same call may work later."""


class PermanentError(ForecareError):
    """The same call will never work."""


class NotFoundError(PermanentError):
    """There is no such thing, or this person may not know of it."""


class ConflictError(PermanentError):
    """Somebody else was first, or the state does not allow it any more."""


class InvalidError(PermanentError):
    """The input breaks a rule; the message says which and where."""
