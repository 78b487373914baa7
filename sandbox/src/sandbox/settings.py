"""The only reader of the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class SettingsError(ValueError):
    """Every fault of the environment, one a line."""


@dataclass(frozen=True)
class Settings:
    """How the sandbox is to run; `state_file` None keeps everything in memory."""

    host: str = "127.0.0.1"
    port: int = 8090
    state_file: Path | None = None
    bot_name: str = "Pismo"
    clock_offset_file: Path | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Settings from the variables that `python -m sandbox --help` lists; raises SettingsError with all faults."""
        faults = []
        port = environment.get("SANDBOX_PORT") or str(cls.port)
        if not port.isascii() or not port.isdigit() or int(port) > 65535:
            faults.append(f"SANDBOX_PORT must be a number from 0 to 65535, not {port!r}")
        bot_name = environment.get("SANDBOX_BOT_NAME") or cls.bot_name
        if len(bot_name) > 64:
            faults.append(f"SANDBOX_BOT_NAME must be at most 64 characters, not {len(bot_name)}")
        state_file = environment.get("SANDBOX_STATE_FILE")
        if state_file and not Path(state_file).absolute().parent.is_dir():
            faults.append(f"SANDBOX_STATE_FILE must be in a folder that exists, not {state_file!r}")
        if faults:
            raise SettingsError("\n".join(faults))
        offset_file = environment.get("CLOCK_OFFSET_FILE")
        return cls(
            host=environment.get("SANDBOX_HOST") or cls.host,
            port=int(port),
            state_file=Path(state_file) if state_file else None,
            bot_name=bot_name,
            clock_offset_file=Path(offset_file) if offset_file else None,
        )
