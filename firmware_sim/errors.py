"""What a person sees when the simulator cannot go on. A stranger to the platform has its own errors."""

import click


class SimulatorError(click.ClickException):
    """Something that the person who started the simulator can mend; the hint says how."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def format_message(self) -> str:
        return f"{self.message}\n  how to mend it: {self.hint}" if self.hint else self.message


class RecordingError(SimulatorError):
    """A recording cannot be read; the message names file and line."""


class RefusedError(SimulatorError):
    """The platform said no, for good."""

    def __init__(self, message: str, *, status: int, hint: str = "", said: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.said = said
        """The platform's own words."""


class UnreachableError(SimulatorError):
    """The platform did not answer; later it may."""
