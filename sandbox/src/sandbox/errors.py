"""The two ways to say no: to a bot as Telegram would, to a test by field and limit."""

from __future__ import annotations


class ApiError(Exception):
    """A Bot API refusal: `code` is the HTTP status too, `retry_after` in seconds goes into `parameters`."""

    def __init__(self, code: int, description: str, retry_after: int | None = None) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.retry_after = retry_after


def bad_request(what: str) -> ApiError:
    return ApiError(400, f"Bad Request: {what}")


class ControlError(Exception):
    """A refusal of the test interface; names the field and, where there is one, its limit."""

    def __init__(self, message: str, *, field: str | None = None, limit: int | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.limit = limit
        self.status = status
