"""`python -m gateway`: serve, or migrate."""

from servicekit.cli import main

from gateway.app import MIGRATIONS, serve
from gateway.settings import Settings

if __name__ == "__main__":
    main(Settings, serve, MIGRATIONS)
