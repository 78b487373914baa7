"""The Bot API's methods about the bot itself: who it is, its texts and commands, how it gets updates."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from aiogram import methods, types

from sandbox.errors import bad_request
from sandbox.registry import plays
from sandbox.telegram import Bot, Telegram, Webhook, encode, moment
from sandbox.updates import Updates, webhook_ip

_COMMAND = re.compile(r"[a-z0-9_]{1,32}")
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")
_COMMANDS = 100
_LIMITS = {"name": 64, "description": 512, "short_description": 120}


class Profile:
    """What a bot says about itself, and where its updates go."""

    def __init__(self, telegram: Telegram, updates: Updates) -> None:
        self._telegram = telegram
        self._updates = updates

    @plays(methods.GetMe)
    async def get_me(self, bot: Bot, call: methods.GetMe) -> Any:
        return bot.user().model_copy(
            update={
                "can_join_groups": False,
                "can_read_all_group_messages": False,
                "supports_inline_queries": False,
                "can_connect_to_business": False,
                "has_main_web_app": False,
            }
        )

    @plays(methods.LogOut)
    async def log_out(self, bot: Bot, call: methods.LogOut) -> bool:
        return True

    @plays(methods.Close)
    async def close(self, bot: Bot, call: methods.Close) -> bool:
        return True

    # Commands

    @plays(methods.SetMyCommands)
    async def set_my_commands(self, bot: Bot, call: methods.SetMyCommands) -> bool:
        if len(call.commands) > _COMMANDS:
            raise bad_request("BOT_COMMANDS_TOO_MUCH")
        for command in call.commands:
            if not _COMMAND.fullmatch(command.command.removeprefix("/")):
                raise bad_request("BOT_COMMAND_INVALID")
            if not 1 <= len(command.description) <= 256:
                raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
        bot.commands[_commands_key(call)] = [
            {"command": command.command.removeprefix("/"), "description": command.description}
            for command in call.commands
        ]
        self._telegram.keep_bot(bot)
        return True

    @plays(methods.GetMyCommands)
    async def get_my_commands(self, bot: Bot, call: methods.GetMyCommands) -> Any:
        return bot.commands.get(_commands_key(call), [])

    @plays(methods.DeleteMyCommands)
    async def delete_my_commands(self, bot: Bot, call: methods.DeleteMyCommands) -> bool:
        bot.commands.pop(_commands_key(call), None)
        self._telegram.keep_bot(bot)
        return True

    # Texts

    def _set_text(self, bot: Bot, kind: str, text: str | None, language: str | None) -> bool:
        if len(text or "") > _LIMITS[kind]:
            raise bad_request(f"{kind} is too long")
        bot.texts[f"{kind}|{language or ''}"] = text or ""
        if kind == "name" and text and not language:
            bot.name = text
        self._telegram.keep_bot(bot)
        return True

    @staticmethod
    def _text(bot: Bot, kind: str, language: str | None) -> str:
        return bot.texts.get(f"{kind}|{language or ''}") or bot.texts.get(f"{kind}|", "")

    @plays(methods.SetMyName)
    async def set_my_name(self, bot: Bot, call: methods.SetMyName) -> bool:
        return self._set_text(bot, "name", call.name, call.language_code)

    @plays(methods.GetMyName)
    async def get_my_name(self, bot: Bot, call: methods.GetMyName) -> Any:
        return types.BotName(name=self._text(bot, "name", call.language_code) or bot.name)

    @plays(methods.SetMyDescription)
    async def set_my_description(self, bot: Bot, call: methods.SetMyDescription) -> bool:
        return self._set_text(bot, "description", call.description, call.language_code)

    @plays(methods.GetMyDescription)
    async def get_my_description(self, bot: Bot, call: methods.GetMyDescription) -> Any:
        return types.BotDescription(description=self._text(bot, "description", call.language_code))

    @plays(methods.SetMyShortDescription)
    async def set_my_short_description(self, bot: Bot, call: methods.SetMyShortDescription) -> bool:
        return self._set_text(bot, "short_description", call.short_description, call.language_code)

    @plays(methods.GetMyShortDescription)
    async def get_my_short_description(self, bot: Bot, call: methods.GetMyShortDescription) -> Any:
        return types.BotShortDescription(short_description=self._text(bot, "short_description", call.language_code))

    @plays(methods.SetChatMenuButton)
    async def set_chat_menu_button(self, bot: Bot, call: methods.SetChatMenuButton) -> bool:
        bot.menu_button = encode(call.menu_button)
        self._telegram.keep_bot(bot)
        return True

    @plays(methods.GetChatMenuButton)
    async def get_chat_menu_button(self, bot: Bot, call: methods.GetChatMenuButton) -> Any:
        return bot.menu_button or {"type": "default"}

    # Updates

    @plays(methods.GetUpdates)
    async def get_updates(self, bot: Bot, call: methods.GetUpdates) -> Any:
        self._want(bot, call.allowed_updates)
        limit = call.limit if call.limit is not None and 1 <= call.limit <= 100 else 100
        return await self._updates.poll(bot, call.offset or 0, limit, max(call.timeout or 0, 0))

    @plays(methods.SetWebhook)
    async def set_webhook(self, bot: Bot, call: methods.SetWebhook) -> bool:
        if call.url:
            url = urlsplit(call.url)
            if url.scheme not in ("https", "http") or not url.hostname:
                raise bad_request("bad webhook: An HTTP or HTTPS URL must be provided for webhook")
            if call.secret_token is not None and not _SECRET.fullmatch(call.secret_token):
                raise bad_request("secret token contains unallowed characters")
            if call.max_connections is not None and not 1 <= call.max_connections <= 100:
                raise bad_request("max_connections must be from 1 to 100")
            bot.webhook = Webhook(call.url, call.secret_token, call.max_connections or 40, webhook_ip(url.hostname))
            self._want(bot, call.allowed_updates)
        else:
            bot.webhook = None
        await self._switch(bot, drop=bool(call.drop_pending_updates))
        return True

    @plays(methods.DeleteWebhook)
    async def delete_webhook(self, bot: Bot, call: methods.DeleteWebhook) -> bool:
        bot.webhook = None
        await self._switch(bot, drop=bool(call.drop_pending_updates))
        return True

    async def _switch(self, bot: Bot, *, drop: bool) -> None:
        if drop:
            self._updates.forget_all(bot)
        self._telegram.keep_bot(bot)
        await self._updates.use_webhook(bot)

    @plays(methods.GetWebhookInfo)
    async def get_webhook_info(self, bot: Bot, call: methods.GetWebhookInfo) -> Any:
        webhook, error = bot.webhook, self._updates.last_error(bot)
        return types.WebhookInfo(
            url=webhook.url if webhook else "",
            has_custom_certificate=False,
            pending_update_count=self._updates.pending(bot),
            ip_address=webhook.ip_address if webhook else None,
            max_connections=webhook.max_connections if webhook else None,
            last_error_date=moment(error[0]) if error else None,
            last_error_message=error[1] if error else None,
            allowed_updates=bot.allowed_updates or None,
        )

    def _want(self, bot: Bot, allowed: list[str] | None) -> None:
        """As Telegram: what is not said stays as it was, an empty list means the default."""
        if allowed is None or allowed == (bot.allowed_updates or []):
            return
        unknown = set(allowed) - types.Update.model_fields.keys()
        bot.allowed_updates = [kind for kind in allowed if kind not in unknown] or None
        self._telegram.keep_bot(bot)


def _commands_key(call: methods.SetMyCommands | methods.GetMyCommands | methods.DeleteMyCommands) -> str:
    scope = encode(call.scope) if call.scope else {"type": "default"}
    kind = f"chat:{scope['chat_id']}" if scope["type"] == "chat" else scope["type"]
    return f"{kind}|{call.language_code or ''}"
