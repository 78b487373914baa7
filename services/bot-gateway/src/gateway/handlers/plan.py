"""What the person's plan gives."""

from aiogram import Router
from aiogram.filters import Command
from aiogram.types import Message
from pismo.billing.v1.billing_pb2 import WINDOW_CALENDAR_DAY, Allowance

from gateway.handlers.screen import Screen, moment
from gateway.peers import Allowances
from gateway.texts import Phrases
from gateway.unit_of_work import UnitOfWork


def router() -> Router:
    found = Router(name="plan")
    found.message.register(plan, Command("plan", ignore_mention=True))
    return found


async def plan(_: Message, work: UnitOfWork, screen: Screen, allowances: Allowances) -> None:
    allowance = await allowances.get(work.person.person_id)
    say = work.say
    await screen.send(
        say(
            "plan",
            plan=plan_name(say, allowance.plan_id),
            window=_window(allowance),
            used=allowance.used,
            limit=allowance.limit,
            reserved=allowance.reserved,
            day=_renewal(say, allowance),
        )
    )


def describe_left(say: Phrases, allowance: Allowance) -> str:
    """How many letters the window still gives, or when it renews."""
    left = allowance.limit - allowance.used - allowance.reserved
    if left <= 0:
        return say("left-none", day=_renewal(say, allowance))
    return say("left", left=left, window=_window(allowance))


def plan_name(say: Phrases, plan_id: str) -> str:
    """A plan of the operator's own catalogue is called by its id."""
    name = f"plan-{plan_id}"
    return say(name) if say.has(name) else plan_id


def _window(allowance: Allowance) -> str:
    return "day" if allowance.window == WINDOW_CALENDAR_DAY else "month"


def _renewal(say: Phrases, allowance: Allowance) -> str:
    return say.day(moment(allowance.resets_at), allowance.time_zone)
