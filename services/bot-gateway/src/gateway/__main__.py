"""`python -m gateway serve | migrate | try-letter`."""

from servicekit.cli import Command, main

from gateway import trial
from gateway.app import MIGRATIONS, serve
from gateway.settings import Settings

if __name__ == "__main__":
    main(
        Settings,
        serve,
        MIGRATIONS,
        [Command("try-letter", "have a letter written for a made-up person", trial.try_letter, trial.add_arguments)],
    )
