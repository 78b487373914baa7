"""`python -m analytics serve | migrate | report`."""

import argparse

from servicekit.cli import Command, main

from analytics.app import MIGRATIONS, print_report, serve
from analytics.settings import Settings


async def _report(settings: Settings, _: argparse.Namespace) -> int:
    await print_report(settings)
    return 0


if __name__ == "__main__":
    main(Settings, serve, MIGRATIONS, [Command("report", "print the six views", _report)])
