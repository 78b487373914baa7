"""Invoices and Telegram Stars: what people pay with, what bots may give back."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from aiogram import methods, types

from sandbox.errors import ControlError, bad_request
from sandbox.keyboards import check_inline
from sandbox.registry import plays
from sandbox.store import Store
from sandbox.telegram import Bot, Chat, Person, Telegram, encode, moment
from sandbox.updates import Updates

_MONTH_SECONDS = 2_592_000  # the only subscription period Telegram has
_SUBSCRIPTION_STARS = 10_000


@dataclass(frozen=True)
class Invoice:
    """`slug` is the end of its link; an invoice sent as a message has its chat and message id instead."""

    slug: str
    bot_key: str
    title: str
    payload: str
    currency: str
    total_amount: int
    subscription_period: int | None = None


@dataclass
class Charge:
    """Money that moved: amount in the currency's smallest units, times in unix seconds."""

    id: str
    bot_key: str
    person_id: int
    invoice: Invoice
    at: int
    expires_at: int | None = None
    refunded_at: int | None = None
    canceled: bool = False


class Payments:
    """A payment is: `pre_checkout_query`, the bot's yes within ten seconds, `successful_payment`."""

    def __init__(
        self,
        telegram: Telegram,
        updates: Updates,
        store: Store,
        clock: Callable[[], float],
        *,
        answer_seconds: float = 10.0,
    ) -> None:
        self._telegram = telegram
        self._updates = updates
        self._store = store
        self._clock = clock
        self._answer_seconds = answer_seconds
        self._invoices = {record["slug"]: Invoice(**record) for record in store.all("invoice")}
        self._charges: dict[str, Charge] = {}
        for record in sorted(store.all("charge"), key=lambda r: int(r["at"])):
            self._charges[record["id"]] = Charge(**{**record, "invoice": Invoice(**record["invoice"])})
        self._asked: dict[str, tuple[str, asyncio.Future[str | None]]] = {}

    # What bots call

    @plays(methods.SendInvoice)
    async def send_invoice(self, bot: Bot, call: methods.SendInvoice) -> Any:
        chat = self._telegram.reach(bot, call.chat_id)
        total = _check(call)
        label = f"Pay {total} ⭐" if call.currency == "XTR" else f"Pay {total / 100:.2f} {call.currency}"
        pay = types.InlineKeyboardMarkup(inline_keyboard=[[types.InlineKeyboardButton(text=label, pay=True)]])
        post = self._telegram.post(
            chat,
            bot,
            invoice=types.Invoice(
                title=call.title,
                description=call.description,
                start_parameter=call.start_parameter or "",
                currency=call.currency,
                total_amount=total,
            ),
            reply_markup=check_inline(call.reply_markup, invoice=True) or pay,
        )
        self._keep(Invoice(f"{chat.key}/{post.id}", bot.key, call.title, call.payload, call.currency, total))
        return post.body

    @plays(methods.CreateInvoiceLink)
    async def create_invoice_link(self, bot: Bot, call: methods.CreateInvoiceLink) -> str:
        total = _check(call)
        period = call.subscription_period
        if period is not None and (period != _MONTH_SECONDS or call.currency != "XTR" or total > _SUBSCRIPTION_STARS):
            raise bad_request("SUBSCRIPTION_PERIOD_INVALID" if period != _MONTH_SECONDS else "STARS_INVOICE_INVALID")
        slug = secrets.token_urlsafe(16)
        self._keep(Invoice(slug, bot.key, call.title, call.payload, call.currency, total, period))
        return f"https://t.me/${slug}"

    def _keep(self, invoice: Invoice) -> None:
        self._invoices[invoice.slug] = invoice
        self._store.put("invoice", invoice.slug, asdict(invoice))

    @plays(methods.AnswerPreCheckoutQuery)
    async def answer_pre_checkout_query(self, bot: Bot, call: methods.AnswerPreCheckoutQuery) -> bool:
        bot_key, answer = self._asked.get(call.pre_checkout_query_id, ("", None))
        if answer is None or bot_key != bot.key or answer.done():
            raise bad_request("query is too old and response timeout expired or query ID is invalid")
        if not call.ok and not call.error_message:
            raise bad_request("error message is empty")
        answer.set_result(None if call.ok else call.error_message)
        return True

    @plays(methods.RefundStarPayment)
    async def refund_star_payment(self, bot: Bot, call: methods.RefundStarPayment) -> bool:
        charge = self._charge(bot, call.user_id, call.telegram_payment_charge_id)
        if charge.refunded_at is not None:
            raise bad_request("CHARGE_ALREADY_REFUNDED")
        charge.refunded_at = int(self._clock())
        self._keep_charge(charge)
        person = self._telegram.people[charge.person_id]
        chat = self._telegram.open_chat(bot, person)
        post = self._telegram.post(
            chat,
            person,
            refunded_payment=types.RefundedPayment(
                total_amount=charge.invoice.total_amount,
                invoice_payload=charge.invoice.payload,
                telegram_payment_charge_id=charge.id,
            ),
        )
        self._updates.push(bot, person.id, "message", post.body)
        return True

    @plays(methods.EditUserStarSubscription)
    async def edit_user_star_subscription(self, bot: Bot, call: methods.EditUserStarSubscription) -> bool:
        charge = self._charge(bot, call.user_id, call.telegram_payment_charge_id)
        if charge.expires_at is None:
            raise bad_request("SUBSCRIPTION_NOT_FOUND")
        charge.canceled = call.is_canceled
        self._keep_charge(charge)
        return True

    @plays(methods.GetStarTransactions)
    async def get_star_transactions(self, bot: Bot, call: methods.GetStarTransactions) -> Any:
        limit = 100 if call.limit is None else call.limit
        if not 1 <= limit <= 100:
            raise bad_request("limit must be from 1 to 100")
        moved: list[tuple[int, types.StarTransaction]] = []
        for charge in self._charges.values():
            if charge.bot_key != bot.key or charge.invoice.currency != "XTR":
                continue
            partner = types.TransactionPartnerUser(
                transaction_type="invoice_payment",
                user=self._telegram.people[charge.person_id].user(),
                invoice_payload=charge.invoice.payload,
                subscription_period=charge.invoice.subscription_period,
            )
            paid = types.StarTransaction(
                id=charge.id, amount=charge.invoice.total_amount, date=moment(charge.at), source=partner
            )
            moved.append((charge.at, paid))
            if charge.refunded_at is not None:
                change = {"date": moment(charge.refunded_at), "source": None, "receiver": partner}
                moved.append((charge.refunded_at, paid.model_copy(update=change)))
        moved.sort(key=lambda pair: pair[0])
        offset = max(call.offset or 0, 0)
        return types.StarTransactions(transactions=[transaction for _, transaction in moved[offset : offset + limit]])

    def _charge(self, bot: Bot, person_id: int, charge_id: str) -> Charge:
        charge = self._charges.get(charge_id)
        if charge is None or charge.bot_key != bot.key or charge.person_id != person_id:
            raise bad_request("CHARGE_NOT_FOUND")
        return charge

    # What people do

    def invoice_of(self, bot: Bot, chat: Chat, message_id: int | None, link: str | None) -> Invoice:
        """The invoice in a message or behind a link of this bot; raises ControlError."""
        slug = f"{chat.key}/{message_id}" if link is None else link.rpartition("$")[2]
        invoice = self._invoices.get(slug)
        if invoice is None or invoice.bot_key != bot.key:
            field = "message_id" if link is None else "link"
            raise ControlError(f"{field} names no invoice of this bot", field=field)
        return invoice

    async def pay(self, bot: Bot, person: Person, chat: Chat, invoice: Invoice) -> dict[str, Any]:
        """Asks the bot and pays when it agrees: status is paid, declined (with `error_message`) or expired."""
        query_id = str(secrets.randbits(62))
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._asked[query_id] = (bot.key, answer)
        query = types.PreCheckoutQuery(
            id=query_id,
            from_user=person.user(),
            currency=invoice.currency,
            total_amount=invoice.total_amount,
            invoice_payload=invoice.payload,
        )
        try:
            self._updates.push(bot, person.id, "pre_checkout_query", encode(query))
            async with asyncio.timeout(self._answer_seconds):
                refusal = await answer
        except TimeoutError:
            return {"status": "expired", "error_message": "the bot did not answer in time"}
        finally:
            del self._asked[query_id]
        if refusal is not None:
            return {"status": "declined", "error_message": refusal}
        return self._settle(bot, person, chat, invoice, first=True)

    def renew(self, bot: Bot, person: Person, chat: Chat, charge_id: str) -> dict[str, Any]:
        """The next month of a subscription, which Telegram takes without asking the bot."""
        charge = self._charges.get(charge_id)
        if charge is None or charge.person_id != person.id or charge.bot_key != bot.key or charge.expires_at is None:
            raise ControlError("renew names no subscription charge of this person", field="renew")
        if charge.canceled or charge.refunded_at is not None:
            return {"status": "declined", "error_message": "the subscription is cancelled"}
        return self._settle(bot, person, chat, charge.invoice, first=False)

    def _settle(self, bot: Bot, person: Person, chat: Chat, invoice: Invoice, *, first: bool) -> dict[str, Any]:
        now = int(self._clock())
        recurring = invoice.subscription_period is not None
        charge = Charge(f"stx{secrets.token_urlsafe(24)}", bot.key, person.id, invoice, now)
        if invoice.subscription_period is not None:
            charge.expires_at = now + invoice.subscription_period
        self._charges[charge.id] = charge
        self._keep_charge(charge)
        post = self._telegram.post(
            chat,
            person,
            successful_payment=types.SuccessfulPayment(
                currency=invoice.currency,
                total_amount=invoice.total_amount,
                invoice_payload=invoice.payload,
                telegram_payment_charge_id=charge.id,
                provider_payment_charge_id=f"{person.id}_{len(self._charges)}",
                subscription_expiration_date=charge.expires_at,
                is_recurring=True if recurring else None,
                is_first_recurring=True if recurring and first else None,
            ),
        )
        update_id = self._updates.push(bot, person.id, "message", post.body)
        return {
            "status": "paid",
            "telegram_payment_charge_id": charge.id,
            "message_id": post.id,
            "update_id": update_id,
        }

    def _keep_charge(self, charge: Charge) -> None:
        self._store.put("charge", charge.id, asdict(charge))


def _check(call: methods.SendInvoice | methods.CreateInvoiceLink) -> int:
    """The total of an invoice that Telegram would accept."""
    if not 1 <= len(call.title) <= 32:
        raise bad_request("INVOICE_TITLE_INVALID")
    if not 1 <= len(call.description) <= 255:
        raise bad_request("INVOICE_DESCRIPTION_INVALID")
    if not 1 <= len(call.payload.encode()) <= 128:
        raise bad_request("INVOICE_PAYLOAD_INVALID")
    stars = call.currency == "XTR"
    if len(call.currency) != 3 or not call.currency.isupper():
        raise bad_request("CURRENCY_INVALID")
    if not stars and not call.provider_token:
        raise bad_request("PAYMENT_PROVIDER_INVALID")
    if (stars and len(call.prices) != 1) or not call.prices:
        raise bad_request("STARS_INVOICE_INVALID" if stars else "CURRENCY_TOTAL_AMOUNT_INVALID")
    total = sum(price.amount for price in call.prices)
    if total < 1:
        raise bad_request("CURRENCY_TOTAL_AMOUNT_INVALID")
    return total
