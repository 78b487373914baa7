"""Ties a function to the Bot API method it plays."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiogram import methods
from aiogram.methods import TelegramMethod

from sandbox.telegram import Bot

Handler = Callable[[Bot, Any], Awaitable[Any]]
_Function = TypeVar("_Function", bound=Callable[..., Awaitable[Any]])

# Every method of the Bot API that aiogram knows, by lower-case name.
KNOWN: dict[str, type[TelegramMethod[Any]]] = {
    method.__api_method__.lower(): method
    for method in vars(methods).values()
    if isinstance(method, type) and issubclass(method, TelegramMethod) and method is not TelegramMethod
}


def plays(method: type[TelegramMethod[Any]]) -> Callable[[_Function], _Function]:
    """Marks a coroutine method `(self, bot, call)` as the one that performs `method`."""

    def mark(function: _Function) -> _Function:
        function.__dict__["plays"] = method
        return function

    return mark


def handlers(*parts: object) -> dict[str, Handler]:
    """All marked methods of these objects, by lower-case name of what they play."""
    found: dict[str, Handler] = {}
    for part in parts:
        for name in dir(type(part)):
            method = getattr(getattr(type(part), name), "plays", None)
            if method is not None:
                found[method.__api_method__.lower()] = getattr(part, name)
    return found
