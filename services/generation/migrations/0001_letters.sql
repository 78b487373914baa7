-- Letters, their versions (which are the work queue) and what is needed to read them.

-- A person's key, wrapped by the operator's. Without it the person's texts cannot be read any more.
CREATE TABLE person_keys (
    person_id uuid PRIMARY KEY,
    wrapped bytea NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE letters (
    letter_id uuid PRIMARY KEY, -- the request_id of CreateLetter
    person_id uuid NOT NULL REFERENCES person_keys,
    -- Sealed with the person's key, like every text below.
    vacancy bytea NOT NULL,
    title bytea NOT NULL,
    created_at timestamptz NOT NULL,
    -- Set by SubmitLetter, together.
    submitted_at timestamptz,
    resume bytea,
    plan_id text,
    priority int,
    CHECK (num_nonnulls(submitted_at, resume, plan_id, priority) IN (0, 4))
);
-- ListLetters; also the reference from letters to person_keys.
CREATE INDEX letters_of_person ON letters (person_id, created_at DESC, letter_id DESC);
-- Retention of letters and of drafts.
CREATE INDEX letters_by_age ON letters (created_at);
CREATE INDEX drafts_by_age ON letters (created_at) WHERE submitted_at IS NULL;

CREATE TABLE letter_versions (
    letter_id uuid NOT NULL REFERENCES letters ON DELETE CASCADE,
    number smallint NOT NULL CHECK (number BETWEEN 0 AND 3),
    person_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('queued', 'writing', 'completed', 'failed', 'cancelled')),
    priority int NOT NULL,
    allow_foreign_models boolean NOT NULL,
    wish bytea, -- what to change; version 0 has none
    text bytea,
    live bytea, -- the text so far, where Redis cannot carry it
    model text,
    failure_reason text CHECK (failure_reason IN ('timed_out', 'models_failed', 'internal')),
    -- Business time, from the service's clock.
    queued_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    deadline_at timestamptz NOT NULL,
    generation_ms int,
    -- The database's time: every worker reads the same one.
    available_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_expires_at timestamptz,
    lease_owner text,
    lease_number int NOT NULL DEFAULT 0, -- the fencing token: only its holder may write an outcome
    failures smallint NOT NULL DEFAULT 0, -- real ones: a drain or a kill is none
    models_unavailable boolean NOT NULL DEFAULT false,
    traceparent text NOT NULL,
    -- The allowance held for version 0; revisions hold none.
    reservation_id uuid,
    settlement text NOT NULL DEFAULT 'none'
        CHECK (settlement IN ('none', 'held', 'commit', 'release', 'committed', 'released', 'gift', 'lost')),
    settle_after timestamptz,
    PRIMARY KEY (letter_id, number),
    CHECK ((state = 'completed') = (text IS NOT NULL)),
    CHECK ((state = 'failed') = (failure_reason IS NOT NULL)),
    CHECK ((state = 'writing') = (lease_owner IS NOT NULL)),
    CHECK ((number = 0) = (reservation_id IS NOT NULL))
) WITH (fillfactor = 80);
-- Leasing the next versions, and a version's place among those that wait.
CREATE INDEX letter_versions_queue ON letter_versions (priority DESC, queued_at, letter_id) WHERE state = 'queued';
-- What a worker holds: leases that ran out, those of a process that came back. Renewals leave it alone.
CREATE INDEX letter_versions_leased ON letter_versions (lease_owner) WHERE state = 'writing';
-- Versions past their deadline, and the measure of the queue.
CREATE INDEX letter_versions_unfinished ON letter_versions (deadline_at) WHERE state IN ('queued', 'writing');
-- Reservations to resolve at billing.
CREATE INDEX letter_versions_unsettled ON letter_versions (settle_after) WHERE settlement IN ('commit', 'release');

CREATE TABLE feedback (
    letter_id uuid NOT NULL,
    number smallint NOT NULL,
    person_id uuid NOT NULL,
    liked boolean NOT NULL,
    rated_at timestamptz NOT NULL,
    PRIMARY KEY (letter_id, number),
    FOREIGN KEY (letter_id, number) REFERENCES letter_versions ON DELETE CASCADE
);

-- The mutations that had their effect: a repeat finds its own and has none.
CREATE TABLE answered_requests (
    person_id uuid NOT NULL,
    request_id uuid NOT NULL,
    call text NOT NULL,
    letter_id uuid NOT NULL REFERENCES letters ON DELETE CASCADE,
    number smallint NOT NULL,
    PRIMARY KEY (person_id, request_id)
);
-- The reference from answered_requests to letters.
CREATE INDEX answered_requests_of_letter ON answered_requests (letter_id);

CREATE TABLE outbox (
    event_id uuid PRIMARY KEY,
    payload bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz
);
CREATE INDEX outbox_waiting ON outbox (created_at);

ALTER TABLE person_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE letters ENABLE ROW LEVEL SECURITY;
ALTER TABLE letter_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE feedback ENABLE ROW LEVEL SECURITY;
ALTER TABLE answered_requests ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON person_keys TO generation_requests
    USING (person_id = nullif(current_setting('app.person_id', true), '')::uuid);
CREATE POLICY own_rows ON letters TO generation_requests
    USING (person_id = nullif(current_setting('app.person_id', true), '')::uuid);
CREATE POLICY own_rows ON letter_versions TO generation_requests
    USING (person_id = nullif(current_setting('app.person_id', true), '')::uuid);
CREATE POLICY own_rows ON feedback TO generation_requests
    USING (person_id = nullif(current_setting('app.person_id', true), '')::uuid);
CREATE POLICY own_rows ON answered_requests TO generation_requests
    USING (person_id = nullif(current_setting('app.person_id', true), '')::uuid);
CREATE POLICY all_rows ON person_keys TO generation_worker USING (true);
CREATE POLICY all_rows ON letters TO generation_worker USING (true);
CREATE POLICY all_rows ON letter_versions TO generation_worker USING (true);

GRANT SELECT, INSERT ON person_keys TO generation_requests;
GRANT SELECT, INSERT, UPDATE ON letters, letter_versions, feedback TO generation_requests;
GRANT SELECT, INSERT ON answered_requests TO generation_requests;
GRANT INSERT ON outbox TO generation_requests;
GRANT SELECT ON person_keys TO generation_worker;
GRANT SELECT, DELETE ON letters TO generation_worker;
GRANT SELECT, UPDATE ON letter_versions TO generation_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO generation_worker;
