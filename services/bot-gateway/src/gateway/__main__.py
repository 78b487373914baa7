"""`python -m gateway serve | migrate | try-letter`."""

from servicekit.cli import Command, main

from gateway import trial
from gateway.settings import MIGRATIONS, Settings


async def serve(settings: Settings) -> None:
    # Only here: it takes all of aiogram, whose import costs seconds that no other command should pay.
    from gateway.app import serve

    await serve(settings)


if __name__ == "__main__":
    main(
        Settings,
        serve,
        MIGRATIONS,
        [Command("try-letter", "have a letter written for a made-up person", trial.try_letter, trial.add_arguments)],
    )
