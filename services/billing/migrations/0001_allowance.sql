-- Plans, what people may use of them, and the ledger that proves it.

-- What a plan was at a time. Nobody may change a row: a changed plan is a new version.
CREATE TABLE plan_versions (
    plan_id     text NOT NULL,
    version     int NOT NULL CHECK (version >= 1),
    allowance   int NOT NULL CHECK (allowance >= 0),
    window_kind text NOT NULL CHECK (window_kind IN ('calendar_day', 'calendar_month')),
    priority    int NOT NULL CHECK (priority >= 0),
    period_days int CHECK (period_days >= 1),
    prices      jsonb NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (plan_id, version)
);

CREATE TABLE plans (
    plan_id         text PRIMARY KEY,
    current_version int NOT NULL,
    FOREIGN KEY (plan_id, current_version) REFERENCES plan_versions (plan_id, version)
);

-- A person's periods on a plan, in the version they got. Where none holds now, the plan "free" does.
CREATE TABLE subscriptions (
    subscription_id uuid PRIMARY KEY,
    person_id       uuid NOT NULL,
    plan_id         text NOT NULL,
    plan_version    int NOT NULL,
    starts_at       timestamptz NOT NULL,
    ends_at         timestamptz NOT NULL,
    status          text NOT NULL CHECK (status IN ('active', 'revoked')),
    source          text NOT NULL CHECK (source IN ('operator')),
    created_at      timestamptz NOT NULL,
    CHECK (starts_at < ends_at),
    FOREIGN KEY (plan_id, plan_version) REFERENCES plan_versions (plan_id, version)
);
CREATE INDEX subscriptions_of_person ON subscriptions (person_id, starts_at);

-- Enumerations, since Postgres reads the text of every CHECK of a table anew for each statement that writes to it.
CREATE TYPE reservation_state AS ENUM ('held', 'committed', 'released', 'expired');
CREATE TYPE operation AS ENUM ('reserve', 'commit', 'release');
CREATE TYPE movement AS ENUM ('open', 'revise', 'reserve', 'commit', 'release', 'expire', 'commit_late', 'give');
CREATE TYPE account AS ENUM ('plan', 'available', 'reserved', 'used', 'goodwill', 'given');

-- One allowance: a person, a plan, and the time it lasts, half-open. The CHECK is the promise; the code only asks.
CREATE TABLE allowance_windows (
    window_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person_id    uuid NOT NULL,
    plan_id      text NOT NULL,
    plan_version int NOT NULL,
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    allowance    int NOT NULL,
    used         int NOT NULL DEFAULT 0,
    reserved     int NOT NULL DEFAULT 0,
    CONSTRAINT never_overspent CHECK (used >= 0 AND reserved >= 0 AND used + reserved <= allowance),
    UNIQUE (person_id, plan_id, starts_at, ends_at),
    FOREIGN KEY (plan_id, plan_version) REFERENCES plan_versions (plan_id, version)
) WITH (fillfactor = 80);

CREATE TABLE reservations (
    reservation_id uuid PRIMARY KEY,
    person_id      uuid NOT NULL,
    letter_id      uuid NOT NULL,
    window_id      bigint NOT NULL,
    plan_id        text NOT NULL,
    priority       int NOT NULL,
    state          reservation_state NOT NULL,
    goodwill       boolean NOT NULL DEFAULT false,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    resolved_at    timestamptz
    -- No foreign key to its window: windows are never deleted, the audit finds what has none, and the check would cost
    -- a twentieth of a reserve.
);
-- A letter is held for, or paid for, once.
CREATE UNIQUE INDEX reservations_one_for_letter ON reservations (person_id, letter_id)
    WHERE state IN ('held', 'committed');
CREATE INDEX reservations_to_expire ON reservations (person_id, expires_at) WHERE state = 'held';

-- What each request id was used for, so that a repeated request is known, and a different one too. Another person's id
-- cannot be seen: it violates the key.
CREATE TABLE requests (
    request_id     uuid PRIMARY KEY,
    person_id      uuid NOT NULL,
    operation      operation NOT NULL,
    subject_id     uuid NOT NULL, -- the letter of a reserve, else the reservation
    reservation_id uuid NOT NULL,
    created_at     timestamptz NOT NULL
);
CREATE INDEX requests_by_age ON requests USING brin (created_at);

-- Every movement of allowance between two accounts of a window. A row takes from one what it gives to the other, so the
-- ledger sums to zero however it is cut. Nobody may change or delete a row; windows and reservations are its projections.
CREATE TABLE ledger_entries (
    entry_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    occurred_at    timestamptz NOT NULL,
    person_id      uuid NOT NULL,
    window_id      bigint NOT NULL,
    reservation_id uuid,
    movement       movement NOT NULL,
    debited        account NOT NULL,
    credited       account NOT NULL,
    amount         int NOT NULL CHECK (amount > 0)
);

CREATE TABLE outbox (
    event_id     uuid PRIMARY KEY,
    payload      bytea NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz
);
CREATE INDEX outbox_waiting ON outbox (created_at);


-- From here on: row level security admits the person's rows only from the moment a function names them, in the
-- transaction that is the call.

-- What the operations answer.
CREATE TYPE answer AS (
    outcome        text,        -- 'done', 'repeated', 'exhausted', 'mismatch', 'not_found' or 'resolved'
    expired        int,         -- how many holds of this person were found expired on the way
    goodwill       boolean,
    reservation_id uuid,
    letter_id      uuid,
    state          text,
    expires_at     timestamptz,
    held_under     text,        -- the plan of the reservation
    priority       int,
    plan_id        text,        -- from here on: the allowance that holds now
    window_kind    text,
    allowance      int,
    used           int,
    reserved       int,
    resets_at      timestamptz
);

-- One change of a person's allowance at a time. Everything below reads after this lock, so it sees what is.
CREATE FUNCTION lock_person(p_person_id uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('billing person ' || p_person_id::text, 0));
END $$;

-- Gives back what the person's overdue holds hold. Returns how many there were.
CREATE FUNCTION expire_holds(p_person_id uuid, p_now timestamptz) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    expired int;
BEGIN
    IF NOT EXISTS (
        SELECT FROM reservations WHERE person_id = p_person_id AND state = 'held' AND expires_at <= p_now
    ) THEN
        RETURN 0;
    END IF;
    PERFORM lock_person(p_person_id);
    WITH due AS (
        UPDATE reservations SET state = 'expired', resolved_at = p_now
        WHERE person_id = p_person_id AND state = 'held' AND expires_at <= p_now
        RETURNING reservation_id, window_id
    ), given_back AS (
        UPDATE allowance_windows w SET reserved = w.reserved - each.holds
        FROM (SELECT window_id, count(*) AS holds FROM due GROUP BY window_id) each
        WHERE w.window_id = each.window_id
    )
    INSERT INTO ledger_entries
        (occurred_at, person_id, window_id, reservation_id, movement, debited, credited, amount)
    SELECT p_now, p_person_id, window_id, reservation_id, 'expire', 'reserved', 'available', 1 FROM due;
    GET DIAGNOSTICS expired = ROW_COUNT;
    RETURN expired;
END $$;

-- The plan that holds for the person now, in the version that holds for them.
CREATE FUNCTION terms_of(p_person_id uuid, p_now timestamptz) RETURNS plan_versions LANGUAGE plpgsql STABLE AS $$
DECLARE
    terms plan_versions;
BEGIN
    SELECT v.* INTO STRICT terms
    FROM plans p
    LEFT JOIN LATERAL (
        SELECT s.plan_id, s.plan_version
        FROM subscriptions s JOIN plan_versions o ON o.plan_id = s.plan_id AND o.version = s.plan_version
        WHERE s.person_id = p_person_id AND s.starts_at <= p_now AND p_now < s.ends_at AND s.status = 'active'
        ORDER BY o.priority DESC, s.starts_at DESC LIMIT 1
    ) own ON true
    JOIN plan_versions v ON v.plan_id = coalesce(own.plan_id, p.plan_id)
        AND v.version = coalesce(own.plan_version, p.current_version)
    WHERE p.plan_id = 'free';
    RETURN terms;
END $$;

-- What the person has left. The caller computes both windows; the plan decides which of them counts.
CREATE FUNCTION allowance_now(
    p_person_id uuid, p_now timestamptz,
    p_day_starts_at timestamptz, p_day_ends_at timestamptz, p_month_starts_at timestamptz, p_month_ends_at timestamptz
) RETURNS answer LANGUAGE plpgsql AS $$
DECLARE
    reply answer;
    terms plan_versions;
    daily boolean;
BEGIN
    PERFORM set_config('app.person_id', p_person_id::text, true);
    reply.expired := expire_holds(p_person_id, p_now);
    terms := terms_of(p_person_id, p_now);
    daily := terms.window_kind = 'calendar_day';
    reply.outcome := 'done';
    reply.plan_id := terms.plan_id;
    reply.window_kind := terms.window_kind;
    reply.resets_at := CASE WHEN daily THEN p_day_ends_at ELSE p_month_ends_at END;
    SELECT w.used, w.reserved INTO reply.used, reply.reserved
    FROM allowance_windows w
    WHERE w.person_id = p_person_id AND w.plan_id = terms.plan_id AND w.ends_at = reply.resets_at
        AND w.starts_at = CASE WHEN daily THEN p_day_starts_at ELSE p_month_starts_at END;
    reply.used := coalesce(reply.used, 0);
    reply.reserved := coalesce(reply.reserved, 0);
    reply.allowance := greatest(terms.allowance, reply.used + reply.reserved);
    RETURN reply;
END $$;

-- The window's row, opened where this is its first letter. A plan that has changed since is followed at once, but what
-- was used stays used, and an allowance never falls below it.
CREATE FUNCTION open_window(
    p_person_id uuid, p_now timestamptz, p_terms plan_versions, p_starts_at timestamptz, p_ends_at timestamptz
) RETURNS allowance_windows LANGUAGE plpgsql AS $$
DECLARE
    w allowance_windows;
    revised int;
BEGIN
    SELECT * INTO w FROM allowance_windows
    WHERE person_id = p_person_id AND plan_id = p_terms.plan_id AND starts_at = p_starts_at AND ends_at = p_ends_at;
    IF NOT FOUND THEN
        INSERT INTO allowance_windows (person_id, plan_id, plan_version, starts_at, ends_at, allowance)
        VALUES (p_person_id, p_terms.plan_id, p_terms.version, p_starts_at, p_ends_at, p_terms.allowance)
        RETURNING * INTO w;
        IF w.allowance > 0 THEN
            INSERT INTO ledger_entries (occurred_at, person_id, window_id, movement, debited, credited, amount)
            VALUES (p_now, p_person_id, w.window_id, 'open', 'plan', 'available', w.allowance);
        END IF;
    ELSIF w.plan_version <> p_terms.version THEN
        revised := greatest(p_terms.allowance, w.used + w.reserved);
        IF revised <> w.allowance THEN
            INSERT INTO ledger_entries (occurred_at, person_id, window_id, movement, debited, credited, amount)
            VALUES (p_now, p_person_id, w.window_id, 'revise',
                CASE WHEN revised > w.allowance THEN 'plan'::account ELSE 'available' END,
                CASE WHEN revised > w.allowance THEN 'available'::account ELSE 'plan' END,
                abs(revised - w.allowance));
        END IF;
        UPDATE allowance_windows SET plan_version = p_terms.version, allowance = revised
        WHERE window_id = w.window_id RETURNING * INTO w;
    END IF;
    RETURN w;
END $$;

CREATE FUNCTION describe(p_reply answer, p_reservation reservations) RETURNS answer LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    p_reply.reservation_id := p_reservation.reservation_id;
    p_reply.letter_id := p_reservation.letter_id;
    p_reply.state := p_reservation.state;
    p_reply.expires_at := p_reservation.expires_at;
    p_reply.held_under := p_reservation.plan_id;
    p_reply.priority := p_reservation.priority;
    p_reply.goodwill := p_reservation.goodwill;
    RETURN p_reply;
END $$;

-- Holds one letter, under p_reservation_id if the hold is new. A refusal leaves nothing behind, so the same request may be tried again later.
CREATE FUNCTION reserve(
    p_request_id uuid, p_person_id uuid, p_letter_id uuid, p_reservation_id uuid,
    p_now timestamptz, p_expires_at timestamptz,
    p_day_starts_at timestamptz, p_day_ends_at timestamptz, p_month_starts_at timestamptz, p_month_ends_at timestamptz
) RETURNS answer LANGUAGE plpgsql AS $$
DECLARE
    reply answer;
    terms plan_versions;
    w allowance_windows;
    known requests;
    r reservations;
BEGIN
    PERFORM set_config('app.person_id', p_person_id::text, true);
    PERFORM lock_person(p_person_id);
    reply.expired := expire_holds(p_person_id, p_now);
    terms := terms_of(p_person_id, p_now);
    IF terms.window_kind = 'calendar_day' THEN
        w := open_window(p_person_id, p_now, terms, p_day_starts_at, p_day_ends_at);
    ELSE
        w := open_window(p_person_id, p_now, terms, p_month_starts_at, p_month_ends_at);
    END IF;

    SELECT * INTO known FROM requests WHERE request_id = p_request_id;
    IF FOUND THEN
        IF known.operation <> 'reserve' OR known.subject_id <> p_letter_id THEN
            reply.outcome := 'mismatch';
            RETURN reply;
        END IF;
        reply.outcome := 'repeated';
        SELECT * INTO r FROM reservations WHERE reservation_id = known.reservation_id;
    ELSE
        SELECT * INTO r FROM reservations
        WHERE person_id = p_person_id AND letter_id = p_letter_id AND state IN ('held', 'committed');
        IF FOUND THEN
            reply.outcome := 'repeated';
            INSERT INTO requests (request_id, person_id, operation, subject_id, reservation_id, created_at)
            VALUES (p_request_id, p_person_id, 'reserve', p_letter_id, r.reservation_id, p_now);
        ELSIF w.used + w.reserved >= w.allowance THEN
            reply.outcome := 'exhausted';
        ELSE
            reply.outcome := 'done';
            WITH counted AS ( -- one statement: starting each of four would cost as much as what it does
                UPDATE allowance_windows SET reserved = reserved + 1 WHERE window_id = w.window_id
            ), booked AS (
                INSERT INTO ledger_entries
                    (occurred_at, person_id, window_id, reservation_id, movement, debited, credited, amount)
                VALUES (p_now, p_person_id, w.window_id, p_reservation_id, 'reserve', 'available', 'reserved', 1)
            ), remembered AS (
                INSERT INTO requests (request_id, person_id, operation, subject_id, reservation_id, created_at)
                VALUES (p_request_id, p_person_id, 'reserve', p_letter_id, p_reservation_id, p_now)
            )
            INSERT INTO reservations
                (reservation_id, person_id, letter_id, window_id, plan_id, priority, state, created_at, expires_at)
            VALUES
                (p_reservation_id, p_person_id, p_letter_id, w.window_id, terms.plan_id, terms.priority, 'held', p_now,
                 p_expires_at)
            RETURNING * INTO r;
            w.reserved := w.reserved + 1;
        END IF;
    END IF;

    reply.plan_id := terms.plan_id;
    reply.window_kind := terms.window_kind;
    reply.allowance := w.allowance;
    reply.used := w.used;
    reply.reserved := w.reserved;
    reply.resets_at := w.ends_at;
    RETURN describe(reply, r);
END $$;

-- Ends a hold: p_operation is 'commit' or 'release'. What is booked is booked in the window of the reservation.
CREATE FUNCTION resolve(
    p_operation operation, p_request_id uuid, p_person_id uuid, p_reservation_id uuid, p_now timestamptz
) RETURNS answer LANGUAGE plpgsql AS $$
DECLARE
    reply answer;
    known requests;
    r reservations;
    successor reservations;
    wanted reservation_state := CASE p_operation WHEN 'commit' THEN 'committed' ELSE 'released' END;
    movement movement := CASE p_operation WHEN 'commit' THEN 'commit' ELSE 'release' END;
    debited account := 'reserved';
    credited account := CASE p_operation WHEN 'commit' THEN 'used' ELSE 'available' END;
BEGIN
    PERFORM set_config('app.person_id', p_person_id::text, true);
    PERFORM lock_person(p_person_id);
    reply.expired := expire_holds(p_person_id, p_now);

    SELECT * INTO known FROM requests WHERE request_id = p_request_id;
    IF FOUND THEN
        IF known.operation <> p_operation OR known.subject_id <> p_reservation_id THEN
            reply.outcome := 'mismatch';
            RETURN reply;
        END IF;
        reply.outcome := 'repeated';
        SELECT * INTO r FROM reservations WHERE reservation_id = known.reservation_id;
        RETURN describe(reply, r);
    END IF;

    SELECT * INTO r FROM reservations WHERE reservation_id = p_reservation_id;
    IF NOT FOUND THEN
        reply.outcome := 'not_found';
        RETURN reply;
    END IF;
    IF r.state = 'expired' AND p_operation = 'commit' THEN
        -- The letter may have a newer hold by now: that one pays, since a letter costs once.
        SELECT * INTO successor FROM reservations
        WHERE person_id = p_person_id AND letter_id = r.letter_id AND state IN ('held', 'committed');
        IF FOUND THEN
            r := successor;
        END IF;
    END IF;
    IF r.state IN ('committed', 'released') AND r.state <> wanted THEN
        reply.outcome := 'resolved';
        RETURN describe(reply, r);
    END IF;

    INSERT INTO requests (request_id, person_id, operation, subject_id, reservation_id, created_at)
    VALUES (p_request_id, p_person_id, p_operation, p_reservation_id, r.reservation_id, p_now);
    IF r.state = wanted OR (r.state = 'expired' AND p_operation = 'release') THEN
        reply.outcome := 'repeated';
        RETURN describe(reply, r);
    END IF;

    IF r.state = 'held' THEN
        UPDATE allowance_windows
        SET reserved = reserved - 1, used = used + CASE p_operation WHEN 'commit' THEN 1 ELSE 0 END
        WHERE window_id = r.window_id;
    ELSE -- a letter delivered after its hold had expired
        UPDATE allowance_windows SET used = used + 1 WHERE window_id = r.window_id AND used + reserved < allowance;
        r.goodwill := NOT FOUND;
        movement := CASE WHEN r.goodwill THEN 'give' ELSE 'commit_late' END;
        debited := CASE WHEN r.goodwill THEN 'goodwill' ELSE 'available' END;
        credited := CASE WHEN r.goodwill THEN 'given' ELSE 'used' END;
    END IF;
    WITH booked AS (
        INSERT INTO ledger_entries
            (occurred_at, person_id, window_id, reservation_id, movement, debited, credited, amount)
        VALUES (p_now, p_person_id, r.window_id, r.reservation_id, movement, debited, credited, 1)
    )
    UPDATE reservations SET state = wanted, resolved_at = p_now, goodwill = r.goodwill
    WHERE reservation_id = r.reservation_id RETURNING * INTO r;
    reply.outcome := 'done';
    RETURN describe(reply, r);
END $$;


GRANT SELECT ON plans, plan_versions TO billing_requests, billing_worker;
GRANT INSERT, UPDATE (current_version) ON plans TO billing_worker;
GRANT INSERT ON plan_versions TO billing_worker;
GRANT SELECT ON subscriptions TO billing_requests, billing_worker;
GRANT INSERT ON subscriptions TO billing_worker;
GRANT SELECT, INSERT, UPDATE (plan_version, allowance, used, reserved) ON allowance_windows TO billing_requests;
GRANT SELECT, UPDATE (reserved) ON allowance_windows TO billing_worker;
GRANT SELECT, INSERT, UPDATE (state, goodwill, resolved_at) ON reservations TO billing_requests;
GRANT SELECT, UPDATE (state, resolved_at) ON reservations TO billing_worker;
GRANT SELECT, INSERT ON ledger_entries TO billing_requests, billing_worker;
GRANT SELECT, INSERT ON requests TO billing_requests;
GRANT SELECT, DELETE ON requests TO billing_worker;
GRANT INSERT ON outbox TO billing_requests;
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO billing_worker;

ALTER TABLE subscriptions ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON subscriptions TO billing_requests
    USING (person_id = nullif(current_setting('app.person_id', true), '')::uuid);
CREATE POLICY all_rows ON subscriptions TO billing_worker USING (true);
ALTER TABLE allowance_windows ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON allowance_windows TO billing_requests
    USING (person_id = nullif(current_setting('app.person_id', true), '')::uuid);
CREATE POLICY all_rows ON allowance_windows TO billing_worker USING (true);
ALTER TABLE reservations ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON reservations TO billing_requests
    USING (person_id = nullif(current_setting('app.person_id', true), '')::uuid);
CREATE POLICY all_rows ON reservations TO billing_worker USING (true);
ALTER TABLE requests ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON requests TO billing_requests
    USING (person_id = nullif(current_setting('app.person_id', true), '')::uuid);
CREATE POLICY all_rows ON requests TO billing_worker USING (true);
ALTER TABLE ledger_entries ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON ledger_entries TO billing_requests
    USING (person_id = nullif(current_setting('app.person_id', true), '')::uuid);
CREATE POLICY all_rows ON ledger_entries TO billing_worker USING (true);
