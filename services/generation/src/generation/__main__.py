"""`python -m generation serve | migrate`."""

from servicekit.cli import main

from generation.app import MIGRATIONS, serve
from generation.settings import Settings

if __name__ == "__main__":
    main(Settings, serve, MIGRATIONS)
