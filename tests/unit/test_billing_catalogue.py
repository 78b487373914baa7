"""The plan catalogue: what ships, and how faults of another are reported."""

from pathlib import Path

import pytest
from billing.catalogue import CatalogueError, parse_catalogue, read_catalogue
from billing.windows import WindowKind

FREE = '[[plans]]\nid = "free"\nlimit = 3\nwindow = "calendar_month"\npriority = 0\n'


def faults(text: str) -> list[str]:
    with pytest.raises(CatalogueError) as raised:
        parse_catalogue(text, "plans.toml")
    return raised.value.faults


def test_three_letters_a_month_are_free_and_twenty_a_day_are_premium() -> None:
    catalogue = read_catalogue()
    free, premium = catalogue.plans
    assert catalogue.time_zone == "Europe/Moscow"
    assert (free.id, free.limit, free.window, free.priority) == ("free", 3, WindowKind.CALENDAR_MONTH, 0)
    assert (premium.id, premium.limit, premium.window, premium.priority) == ("premium", 20, WindowKind.CALENDAR_DAY, 10)
    assert (premium.period_days, premium.prices["USD"]) == (30, 1000)
    assert premium.prices["XTR"] > 0


def test_every_fault_is_reported_with_its_plan_and_field() -> None:
    found = faults(
        'time_zone = "Mars/Olympus"\ncolour = 1\n'
        + FREE
        + FREE
        + '[[plans]]\nid = "gold"\nlimit = -1\nwindow = "week"\n'
        "period_days = 30\nprices = { usd = 1, EUR = 0 }\n"
    )
    assert {fault.partition(":")[0] for fault in found} == {
        "time_zone",
        "colour",
        'plan "free" id',
        'plan "gold" limit',
        'plan "gold" window',
        'plan "gold" priority',
        'plan "gold" prices.usd.[key]',
        'plan "gold" prices.EUR',
    }


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("plans = [", "is not TOML"),
        ("", 'plan "free": is missing'),
        ("plans = 3", "plans: "),
        ("plans = [3]", 'plan "#1": '),
        (FREE.replace("free", "Free"), 'plan "Free" id: '),
        (FREE.replace("3", '"3"'), 'plan "free" limit: '),
        (FREE.replace("3", "true"), 'plan "free" limit: '),
        (FREE + "period_days = 30\n", 'plan "free": '),
        (FREE + "prices = { USD = 100 }\n", 'plan "free": '),
        ("time_zone = 3\n" + FREE, "time_zone: "),
        ('time_zone = "../etc/passwd"\n' + FREE, "time_zone: "),
    ],
)
def test_a_fault_says_where_it_is(text: str, fault: str) -> None:
    assert [found for found in faults(text) if found.startswith(fault)]


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "none", tmp_path / "binary"):
        with pytest.raises(CatalogueError, match="cannot be read"):
            read_catalogue(path)


def test_a_catalogue_of_ones_own_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "plans.toml").write_text('time_zone = "Asia/Omsk"\n' + FREE)
    catalogue = read_catalogue(tmp_path / "plans.toml")
    assert (catalogue.zone.key, [plan.id for plan in catalogue.plans]) == ("Asia/Omsk", ["free"])
