"""Allowance on a real database: exact under races, repeats and kills, renewed at midnight in Moscow, booked."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID, uuid4

import asyncpg
import pytest
from billing import store
from billing.allowance import Reservation, ReservationState
from billing.catalogue import Catalogue, Plan
from billing.errors import AllowanceExhausted, IdempotencyMismatch, ReservationNotFound, ReservationResolved
from billing.operations import Held, NoSuchPlan
from billing.windows import WindowKind
from billing_desk import NOON, Desk, Hands, open_desk
from prometheus_client import REGISTRY
from servicekit.postgres import STORE_ERRORS
from stores import ServiceDatabase, ServiceDatabaseFactory

T = TypeVar("T")

RESERVE = """SELECT * FROM reserve(
    $1, $2, $3, gen_random_uuid(), $4::timestamptz, $4::timestamptz + interval '30 min', $5, $6, $5, $6)"""
MONTH = (datetime(2026, 10, 31, 21, tzinfo=UTC), datetime(2026, 11, 30, 21, tzinfo=UTC))


@pytest.fixture
async def database(service_database: ServiceDatabaseFactory) -> ServiceDatabase:
    return await service_database("billing")


@pytest.fixture
async def desk(database: ServiceDatabase) -> AsyncIterator[Desk]:
    """A desk whose books balance at the end of every test that does not falsify them."""
    async with open_desk(database, Hands()) as desk:
        yield desk
        assert await desk.audit() == []


@pytest.fixture
def person() -> UUID:
    return uuid4()


async def left(desk: Desk, person: UUID) -> tuple[str, int, int, int]:
    allowance = await desk.allowances.get(person)
    return allowance.plan_id, allowance.limit, allowance.used, allowance.reserved


async def connect(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(url, server_settings={"search_path": "billing"})


async def test_a_person_never_seen_has_the_free_plan_untouched(desk: Desk, person: UUID) -> None:
    allowance = await desk.allowances.get(person)
    assert (allowance.plan_id, allowance.window) == ("free", WindowKind.CALENDAR_MONTH)
    assert (allowance.limit, allowance.used, allowance.reserved) == (3, 0, 0)
    assert allowance.resets_at == MONTH[1]


async def test_only_what_is_committed_costs(desk: Desk, person: UUID) -> None:
    kept, stopped = await desk.reserve(person), await desk.reserve(person)
    assert await left(desk, person) == ("free", 3, 0, 2)
    committed = await desk.allowances.commit(uuid4(), person, kept.reservation.reservation_id)
    released = await desk.allowances.release(uuid4(), person, stopped.reservation.reservation_id)
    assert (committed.state, released.state) == (ReservationState.COMMITTED, ReservationState.RELEASED)
    assert await left(desk, person) == ("free", 3, 1, 0)


async def test_a_refusal_says_what_is_used_and_when_it_renews_and_leaves_nothing_behind(
    desk: Desk, person: UUID
) -> None:
    await desk.use_up(person, 2)
    held = await desk.reserve(person)
    request, letter = uuid4(), uuid4()
    with pytest.raises(AllowanceExhausted) as raised:
        await desk.reserve(person, letter, request)
    refused = raised.value
    assert (refused.plan, refused.limit, refused.used, refused.reserved) == ("free", 3, 2, 1)
    assert (refused.resets_at, refused.time_zone) == (MONTH[1], "Europe/Moscow")
    await desk.allowances.release(uuid4(), person, held.reservation.reservation_id)
    assert (await desk.reserve(person, letter, request)).reservation.state is ReservationState.HELD


@pytest.mark.parametrize("racers", [50, 300])
async def test_of_any_number_of_racers_exactly_as_many_win_as_there_are_letters(
    database: ServiceDatabase, desk: Desk, person: UUID, racers: int
) -> None:
    async with open_desk(database, desk.clock) as another:
        results = await asyncio.gather(
            *(random.choice([desk, another]).reserve(person) for _ in range(racers)), return_exceptions=True
        )
    assert sum(isinstance(result, Held) for result in results) == 3
    assert sum(isinstance(result, AllowanceExhausted) for result in results) == racers - 3
    assert await left(desk, person) == ("free", 3, 0, 3)


async def test_two_hundred_calls_with_one_request_id_have_one_effect(
    database: ServiceDatabase, desk: Desk, person: UUID
) -> None:
    request, letter = uuid4(), uuid4()
    async with open_desk(database, desk.clock) as another:
        answers = await asyncio.gather(*([desk, another][n % 2].reserve(person, letter, request) for n in range(200)))
    assert len({answer.reservation for answer in answers}) == 1
    assert await left(desk, person) == ("free", 3, 0, 1)


async def test_commit_and_release_race_and_one_of_them_wins(desk: Desk, person: UUID) -> None:
    held = (await desk.reserve(person)).reservation
    results = await asyncio.gather(
        *(operate(uuid4(), person, held.reservation_id) for _ in range(10) for operate in both(desk)),
        return_exceptions=True,
    )
    states = {result.state for result in results if isinstance(result, Reservation)}
    assert len(states) == 1
    assert sum(isinstance(result, ReservationResolved) for result in results) == 10
    assert (await left(desk, person))[2:] == (int(ReservationState.COMMITTED in states), 0)


def both(desk: Desk) -> tuple[Callable[[UUID, UUID, UUID], Awaitable[Reservation]], ...]:
    return desk.allowances.commit, desk.allowances.release


async def test_a_letter_has_one_hold_whatever_the_request_id(desk: Desk, person: UUID) -> None:
    letter = uuid4()
    answers = await asyncio.gather(*(desk.reserve(person, letter) for _ in range(20)))
    (held,) = {answer.reservation for answer in answers}
    assert await left(desk, person) == ("free", 3, 0, 1)
    await desk.allowances.commit(uuid4(), person, held.reservation_id)
    again = await desk.reserve(person, letter)
    assert (again.reservation.reservation_id, again.reservation.state) == (
        held.reservation_id,
        ReservationState.COMMITTED,
    )
    assert await left(desk, person) == ("free", 3, 1, 0)


async def test_a_letter_that_was_released_or_expired_gets_a_new_hold(desk: Desk, person: UUID) -> None:
    letter = uuid4()
    first = (await desk.reserve(person, letter)).reservation
    await desk.allowances.release(uuid4(), person, first.reservation_id)
    second = (await desk.reserve(person, letter)).reservation
    desk.clock.pass_by(minutes=30)
    third = (await desk.reserve(person, letter)).reservation
    assert len({first.reservation_id, second.reservation_id, third.reservation_id}) == 3
    assert await left(desk, person) == ("free", 3, 0, 1)


async def test_a_request_id_answers_the_same_even_after_its_hold_has_gone(desk: Desk, person: UUID) -> None:
    request, letter = uuid4(), uuid4()
    held = (await desk.reserve(person, letter, request)).reservation
    await desk.allowances.release(uuid4(), person, held.reservation_id)
    again = (await desk.reserve(person, letter, request)).reservation
    assert (again.reservation_id, again.state) == (held.reservation_id, ReservationState.RELEASED)
    assert await left(desk, person) == ("free", 3, 0, 0)


async def test_a_request_id_serves_one_request_only(desk: Desk, person: UUID) -> None:
    request, letter = uuid4(), uuid4()
    held = (await desk.reserve(person, letter, request)).reservation
    for stranger in (
        desk.reserve(person, uuid4(), request),
        desk.reserve(uuid4(), letter, request),
        desk.allowances.commit(request, person, held.reservation_id),
        desk.allowances.release(request, person, held.reservation_id),
    ):
        with pytest.raises(IdempotencyMismatch):
            await stranger
    assert await left(desk, person) == ("free", 3, 0, 1)


async def test_the_same_request_in_flight_is_waited_for(database: ServiceDatabase, desk: Desk, person: UUID) -> None:
    request, letter = uuid4(), uuid4()
    first = await connect(database.requests_url)
    transaction = first.transaction()
    await transaction.start()
    row = await first.fetchrow(RESERVE, request, person, letter, NOON, *MONTH)
    second = asyncio.create_task(desk.reserve(person, letter, request))
    await asyncio.wait([second], timeout=0.2)
    assert not second.done()
    await transaction.commit()
    await first.close()
    assert row is not None
    assert (await second).reservation.reservation_id == row["reservation_id"]


async def test_a_connection_killed_in_mid_transaction_leaves_one_effect_after_the_retry(
    database: ServiceDatabase, desk: Desk, person: UUID
) -> None:
    request, letter = uuid4(), uuid4()
    killed = await connect(database.requests_url)
    await killed.execute("BEGIN")
    await killed.fetchrow(RESERVE, request, person, letter, NOON, *MONTH)
    retry = asyncio.create_task(desk.reserve(person, letter, request))
    await asyncio.wait([retry], timeout=0.1)
    operator = await connect(database.superuser_url)
    await operator.execute("SELECT pg_terminate_backend($1)", killed.get_server_pid())
    await operator.close()
    assert (await retry).reservation.state is ReservationState.HELD
    assert await left(desk, person) == ("free", 3, 0, 1)
    killed.terminate()


async def test_callers_that_retry_through_a_storm_of_kills_have_each_effect_once(
    database: ServiceDatabase, desk: Desk, person: UUID
) -> None:
    await desk.grant(person, "premium", 1)
    operator = await connect(database.superuser_url)

    async def until_it_works(call: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await call()
            except STORE_ERRORS:
                await asyncio.sleep(0)

    async def letter(number: int) -> None:
        request, letter, last_request = uuid4(), uuid4(), uuid4()
        held = await until_it_works(lambda: desk.reserve(person, letter, request))
        end = desk.allowances.commit if number % 2 else desk.allowances.release
        await until_it_works(lambda: end(last_request, person, held.reservation.reservation_id))

    async def storm() -> None:
        while True:
            await operator.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE usename = 'billing_requests' AND datname = current_database()"""
            )
            await asyncio.sleep(0.01)

    kills = asyncio.create_task(storm())
    await asyncio.gather(*(letter(number) for number in range(20)))
    kills.cancel()
    with suppress(asyncio.CancelledError):
        await kills
    await operator.close()
    assert await until_it_works(lambda: left(desk, person)) == ("premium", 20, 10, 0)


async def test_a_hold_gives_itself_back_after_thirty_minutes_with_or_without_the_job(desk: Desk, person: UUID) -> None:
    await desk.use_up(person, 2)
    await desk.reserve(person)
    desk.clock.pass_by(minutes=29, seconds=59)
    await desk.keep_house()
    with pytest.raises(AllowanceExhausted):
        await desk.reserve(person)
    desk.clock.pass_by(seconds=1)
    held = (await desk.reserve(person)).reservation
    assert await left(desk, person) == ("free", 3, 2, 1)
    desk.clock.pass_by(minutes=30)
    await desk.keep_house()
    assert (await desk.allowances.release(uuid4(), person, held.reservation_id)).state is ReservationState.EXPIRED
    assert await left(desk, person) == ("free", 3, 2, 0)


async def test_a_letter_delivered_after_its_hold_expired_is_counted_while_there_is_room_and_given_otherwise(
    desk: Desk, person: UUID
) -> None:
    late = [(await desk.reserve(person)).reservation for _ in range(2)]
    desk.clock.pass_by(minutes=31)
    await desk.use_up(person, 2)
    given = REGISTRY.get_sample_value("pismo_billing_given_total", {"plan": "free"}) or 0
    request = uuid4()
    for _ in range(2):
        counted = await desk.allowances.commit(request, person, late[0].reservation_id)
        assert counted.state is ReservationState.COMMITTED
        assert await left(desk, person) == ("free", 3, 3, 0)
    gift = await desk.allowances.commit(uuid4(), person, late[1].reservation_id)
    assert gift.state is ReservationState.COMMITTED
    assert await left(desk, person) == ("free", 3, 3, 0)
    assert REGISTRY.get_sample_value("pismo_billing_given_total", {"plan": "free"}) == given + 1


async def test_a_late_commit_pays_with_the_letters_newer_hold(desk: Desk, person: UUID) -> None:
    letter = uuid4()
    old = (await desk.reserve(person, letter)).reservation
    desk.clock.pass_by(minutes=31)
    new = (await desk.reserve(person, letter)).reservation
    for _ in range(2):
        paid = await desk.allowances.commit(uuid4(), person, old.reservation_id)
        assert (paid.reservation_id, paid.state) == (new.reservation_id, ReservationState.COMMITTED)
    assert await left(desk, person) == ("free", 3, 1, 0)


async def test_a_resolved_reservation_stays_as_it_is(desk: Desk, person: UUID) -> None:
    committed, released = [(await desk.reserve(person)).reservation.reservation_id for _ in range(2)]
    await desk.allowances.commit(uuid4(), person, committed)
    await desk.allowances.release(uuid4(), person, released)
    with pytest.raises(ReservationResolved, check=lambda error: error.state is ReservationState.COMMITTED):
        await desk.allowances.release(uuid4(), person, committed)
    with pytest.raises(ReservationResolved, check=lambda error: error.state is ReservationState.RELEASED):
        await desk.allowances.commit(uuid4(), person, released)
    for _ in range(3):
        await desk.allowances.commit(uuid4(), person, committed)
        await desk.allowances.release(uuid4(), person, released)
    assert await left(desk, person) == ("free", 3, 1, 0)


async def test_the_month_renews_at_midnight_in_moscow_and_a_letter_is_booked_where_it_was_held(
    desk: Desk, person: UUID
) -> None:
    desk.clock.time = datetime(2026, 11, 30, 20, 59, 59, 999_999, tzinfo=UTC)
    await desk.use_up(person, 2)
    november = (await desk.reserve(person)).reservation
    with pytest.raises(AllowanceExhausted):
        await desk.reserve(person)
    desk.clock.time = datetime(2026, 11, 30, 21, tzinfo=UTC)
    assert await left(desk, person) == ("free", 3, 0, 0)
    assert (await desk.allowances.get(person)).resets_at == datetime(2026, 12, 31, 21, tzinfo=UTC)
    await desk.allowances.commit(uuid4(), person, november.reservation_id)
    assert await left(desk, person) == ("free", 3, 0, 0)
    desk.clock.time = datetime(2026, 11, 30, 20, 59, tzinfo=UTC)
    assert await left(desk, person) == ("free", 3, 3, 0)


async def test_the_day_renews_at_midnight_in_moscow(desk: Desk, person: UUID) -> None:
    desk.clock.time = datetime(2026, 11, 23, 20, 59, 59, tzinfo=UTC)
    await desk.grant(person, "premium", 30)
    await desk.use_up(person, 20)
    with pytest.raises(AllowanceExhausted, check=lambda error: error.resets_at.hour == 21):
        await desk.reserve(person)
    desk.clock.pass_by(seconds=1)
    held = await desk.reserve(person)
    assert (held.reservation.plan_id, held.reservation.priority) == ("premium", 10)
    assert await left(desk, person) == ("premium", 20, 0, 1)


async def test_grants_follow_each_other_and_end_in_the_free_plan(desk: Desk, person: UUID) -> None:
    await desk.use_up(person, 3)
    await desk.grant(person, "premium", 30)
    await desk.grant(person, "premium", 30)
    assert await left(desk, person) == ("premium", 20, 0, 0)
    desk.clock.pass_by(days=60, microseconds=-1)
    assert await left(desk, person) == ("premium", 20, 0, 0)
    desk.clock.pass_by(microseconds=1)
    assert await left(desk, person) == ("free", 3, 0, 0)
    desk.clock.time = NOON
    assert (await left(desk, uuid4()))[0] == "free"
    with pytest.raises(NoSuchPlan, match="there are: free, premium"):
        await desk.grant(person, "gold", 1)


async def test_a_subscription_that_is_over_or_revoked_uncovers_what_was_used_of_the_free_plan(
    database: ServiceDatabase, desk: Desk, person: UUID
) -> None:
    await desk.use_up(person, 2)
    await desk.grant(person, "premium", 30)
    operator = await connect(database.superuser_url)
    await operator.execute("UPDATE subscriptions SET status = 'revoked'")
    await operator.close()
    assert await left(desk, person) == ("free", 3, 2, 0)


async def test_a_changed_plan_is_followed_at_once_and_takes_nothing_back(
    database: ServiceDatabase, desk: Desk, person: UUID
) -> None:
    def with_free_limit(limit: int) -> Catalogue:
        plan = Plan(id="free", limit=limit, window=WindowKind.CALENDAR_MONTH, priority=0)
        return Catalogue(time_zone="Europe/Moscow", plans=(plan,))

    await desk.use_up(person, 3)
    async with open_desk(database, desk.clock, with_free_limit(5)) as more:
        assert await left(more, person) == ("free", 5, 3, 0)
        await more.use_up(person, 1)
    async with open_desk(database, desk.clock, with_free_limit(2)) as less:
        assert await left(less, person) == ("free", 4, 4, 0)
        with pytest.raises(AllowanceExhausted, check=lambda error: error.limit == 4):
            await less.reserve(person)
        assert await left(less, uuid4()) == ("free", 2, 0, 0)


async def test_a_subscriber_keeps_the_version_they_got(database: ServiceDatabase, desk: Desk, person: UUID) -> None:
    await desk.grant(person, "premium", 30)
    plans = (
        Plan(id="free", limit=3, window=WindowKind.CALENDAR_MONTH, priority=0),
        Plan(id="premium", limit=5, window=WindowKind.CALENDAR_DAY, priority=10, period_days=30, prices={"XTR": 1}),
    )
    async with open_desk(database, desk.clock, Catalogue(plans=plans)) as changed:
        newcomer = uuid4()
        await changed.grant(newcomer, "premium", 30)
        assert await left(changed, person) == ("premium", 20, 0, 0)
        assert await left(changed, newcomer) == ("premium", 5, 0, 0)


async def test_a_plan_that_has_not_changed_gets_no_new_version(database: ServiceDatabase, desk: Desk) -> None:
    async with open_desk(database, desk.clock), desk.worker.connection() as connection:
        versions = await connection.fetch("SELECT plan_id, version FROM plan_versions ORDER BY plan_id")
    assert [tuple(row) for row in versions] == [("free", 1), ("premium", 1)]


async def test_request_ids_are_forgotten_after_thirty_days(desk: Desk, person: UUID) -> None:
    request, letter = uuid4(), uuid4()
    held = (await desk.reserve(person, letter, request)).reservation
    desk.clock.pass_by(days=30, seconds=1)
    await desk.keep_house()
    assert (await desk.reserve(person, letter, request)).reservation.reservation_id != held.reservation_id


async def test_with_another_persons_id_nothing_is_reachable(
    database: ServiceDatabase, desk: Desk, person: UUID
) -> None:
    await desk.grant(person, "premium", 30)
    held = (await desk.reserve(person)).reservation
    stranger = uuid4()
    for operate in both(desk):
        with pytest.raises(ReservationNotFound):
            await operate(uuid4(), stranger, held.reservation_id)
    connection = await connect(database.requests_url)
    for setting in ("", str(stranger)):
        await connection.execute("SELECT set_config('app.person_id', $1, false)", setting)
        for table in ("subscriptions", "allowance_windows", "reservations", "requests", "ledger_entries"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0  # noqa: S608
        assert (
            await connection.execute("UPDATE reservations SET state = 'committed', resolved_at = now()") == "UPDATE 0"
        )
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await connection.execute(
            "INSERT INTO ledger_entries (occurred_at, person_id, window_id, movement, debited, credited, amount) "
            "VALUES (now(), $1, 1, 'open', 'plan', 'available', 100)",
            person,
        )
    await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entries SET amount = 2",
        "DELETE FROM ledger_entries",
        "TRUNCATE ledger_entries",
        "UPDATE plan_versions SET allowance = 100",
        "UPDATE reservations SET person_id = gen_random_uuid()",
        "UPDATE allowance_windows SET person_id = gen_random_uuid()",
        "DELETE FROM reservations",
        "DELETE FROM allowance_windows",
        "CREATE TABLE mine (id int)",
        "ALTER TABLE allowance_windows DROP CONSTRAINT never_overspent",
        "CREATE OR REPLACE FUNCTION lock_person(p_person_id uuid) RETURNS void LANGUAGE sql AS 'SELECT'",
        "SET ROLE billing_owner",
    ],
)
@pytest.mark.parametrize("role", ["requests", "worker"])
async def test_no_role_that_serves_can_change_the_past_or_the_schema(
    database: ServiceDatabase, role: str, statement: str
) -> None:
    connection = await connect(database.requests_url if role == "requests" else database.worker_url)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
    await connection.close()


@pytest.mark.parametrize("statement", ["INSERT INTO subscriptions", "INSERT INTO plan_versions", "INSERT INTO plans"])
async def test_the_requests_role_can_give_itself_no_plan(database: ServiceDatabase, statement: str) -> None:
    connection = await connect(database.requests_url)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(f"{statement} DEFAULT VALUES")
    await connection.close()


@pytest.mark.parametrize(
    ("falsification", "found"),
    [
        ("UPDATE allowance_windows SET used = used + 1 WHERE used = 0", ["window", "window"]),
        ("UPDATE allowance_windows SET reserved = 0", ["window", "window"]),
        ("UPDATE allowance_windows SET allowance = 4", ["window"]),
        ("UPDATE reservations SET state = 'released', resolved_at = now()", ["reservation", "window"]),
        ("DELETE FROM ledger_entries WHERE movement = 'reserve'", ["window", "reservation"]),
        ("DELETE FROM ledger_entries WHERE movement = 'open'", ["window"]),
        ("UPDATE ledger_entries SET amount = 2 WHERE movement = 'reserve'", ["window"]),
        (
            "UPDATE ledger_entries SET reservation_id = gen_random_uuid() WHERE movement = 'reserve'",
            ["reservation"] * 2,
        ),
        ("DELETE FROM reservations", ["reservation", "window"]),
        ("UPDATE subscriptions SET starts_at = starts_at - interval '1 day'", ["subscription"]),
    ],
)
async def test_the_audit_finds_whatever_was_falsified(
    database: ServiceDatabase, person: UUID, falsification: str, found: list[str]
) -> None:
    async with open_desk(database, Hands()) as desk:
        await desk.reserve(person)
        await desk.grant(person, "premium", 1)
        await desk.grant(person, "premium", 1)
        assert await desk.audit() == []
        forger = await connect(database.superuser_url)
        await forger.execute(falsification)
        await forger.close()
        assert [violation.split()[0] for violation in await desk.audit()] == found


async def test_the_database_itself_refuses_to_overspend(database: ServiceDatabase, desk: Desk, person: UUID) -> None:
    await desk.use_up(person, 3)
    owner = await connect(database.owner_url)
    for change in ("used = used + 1", "reserved = reserved + 1", "allowance = 2", "used = -1"):
        with pytest.raises(asyncpg.CheckViolationError):
            await owner.execute(f"UPDATE allowance_windows SET {change}")  # noqa: S608
    await owner.close()


async def test_no_call_reads_a_whole_table_however_long_the_tables_have_grown(
    database: ServiceDatabase, person: UUID
) -> None:
    async with open_desk(database, Hands()) as desk:
        await desk.use_up(person, 1)
    operator = await connect(database.superuser_url)
    await operator.execute(
        """INSERT INTO allowance_windows (person_id, plan_id, plan_version, starts_at, ends_at, allowance)
               SELECT gen_random_uuid(), 'free', 1, now(), now() + interval '1 month', 3 FROM generate_series(1, 20000);
           INSERT INTO reservations SELECT gen_random_uuid(), person_id, gen_random_uuid(), window_id, 'free', 0,
               'committed', false, now(), now(), now() FROM allowance_windows;
           INSERT INTO requests SELECT gen_random_uuid(), person_id, 'reserve', letter_id, reservation_id, now()
               FROM reservations;
           INSERT INTO subscriptions SELECT gen_random_uuid(), person_id, 'premium', 1, now() - interval '60 days',
               now() - interval '30 days', 'active', 'operator', now() FROM allowance_windows;
           ANALYZE allowance_windows, reservations, requests, subscriptions"""
    )
    await operator.close()
    calls = await connect(database.requests_url)
    await calls.execute("BEGIN")
    hold = await calls.fetchrow(RESERVE, uuid4(), person, uuid4(), NOON, *MONTH)
    assert hold is not None
    await calls.fetchrow("SELECT resolve('commit', $1, $2, $3, $4)", uuid4(), person, hold["reservation_id"], NOON)
    await calls.fetchrow("SELECT allowance_now($1, $2, $3, $4, $3, $4)", person, NOON, *MONTH)
    worker = await connect(database.worker_url)
    await worker.execute("BEGIN")
    await store.expire_holds(worker, NOON, 500)
    for connection in (calls, worker):
        read_whole = await connection.fetch(
            """SELECT relname FROM pg_stat_xact_user_tables WHERE schemaname = 'billing' AND seq_scan > 0
               AND relname NOT IN ('plans', 'plan_versions') -- a handful of rows"""
        )
        assert read_whole == []
        await connection.close()
