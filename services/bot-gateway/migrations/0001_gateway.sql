-- The gateway's schema: what came in, who people are and where their chats stand, what goes out.
-- `gateway_requests` takes updates in and handles one person's at a time; `gateway_worker` serves the queues.

-- Updates as Telegram gave them. The body is sealed, and blanked once the update is done; the id stays to know repeats.
CREATE TABLE inbox (
    bot_id bigint NOT NULL,
    update_id bigint NOT NULL,
    telegram_id bigint NOT NULL,
    body bytea,
    part_characters int,
    traceparent text NOT NULL,
    received_at timestamptz NOT NULL,
    available_at timestamptz NOT NULL,
    leased_until timestamptz,
    leased_by text,
    lease_number int NOT NULL DEFAULT 0,
    failures int NOT NULL DEFAULT 0,
    postponements int NOT NULL DEFAULT 0,
    done_at timestamptz,
    parked boolean NOT NULL DEFAULT false,
    PRIMARY KEY (bot_id, update_id)
);
COMMENT ON COLUMN inbox.part_characters IS 'length of a plain text, which may be one part of a longer paste';
CREATE INDEX inbox_waiting ON inbox (bot_id, update_id) WHERE done_at IS NULL;
CREATE INDEX inbox_waiting_of_person ON inbox (bot_id, telegram_id, update_id) WHERE done_at IS NULL;
CREATE INDEX inbox_done ON inbox (done_at) WHERE done_at IS NOT NULL;
GRANT SELECT, INSERT, UPDATE (done_at, body, leased_until, parked) ON inbox TO gateway_requests;
GRANT SELECT, INSERT, UPDATE, DELETE ON inbox TO gateway_worker;

CREATE TABLE people (
    person_id uuid PRIMARY KEY,
    telegram_id bigint NOT NULL UNIQUE,
    username text,
    first_name text NOT NULL,
    last_name text,
    language_code text,
    language text NOT NULL CHECK (language IN ('ru', 'en')),
    consents jsonb NOT NULL DEFAULT '{}',
    blocked_at timestamptz,
    created_at timestamptz NOT NULL,
    last_activity_at timestamptz NOT NULL
);
COMMENT ON COLUMN people.language_code IS 'what their Telegram speaks; language is what they chose here';
COMMENT ON COLUMN people.consents IS 'the newest answer of each kind; the answers themselves are in consents';
GRANT SELECT, INSERT, UPDATE ON people TO gateway_requests;
GRANT SELECT, UPDATE (blocked_at) ON people TO gateway_worker;

-- Where each conversation stands. No texts: they are handed on.
CREATE TABLE chats (
    bot_id bigint NOT NULL,
    chat_id bigint NOT NULL,
    person_id uuid NOT NULL REFERENCES people ON DELETE CASCADE,
    stage text NOT NULL,
    details jsonb NOT NULL,
    revision bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (bot_id, chat_id)
);
COMMENT ON COLUMN chats.revision IS 'grows with every change: a handler that began from an older one runs again';
GRANT SELECT, INSERT, UPDATE ON chats TO gateway_requests;
GRANT SELECT, UPDATE ON chats TO gateway_worker;

-- What people answered about their data; append-only.
CREATE TABLE consents (
    consent_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person_id uuid NOT NULL REFERENCES people ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('processing', 'foreign_ai', 'marketing')),
    version text NOT NULL,
    given boolean NOT NULL,
    answered_at timestamptz NOT NULL
);
GRANT INSERT ON consents TO gateway_requests;

-- What a deep link's code stands for; kept by the operator.
CREATE TABLE campaigns (
    code text PRIMARY KEY CHECK (code ~ '^[A-Za-z0-9_-]{1,64}$'),
    utm_source text,
    utm_medium text,
    utm_campaign text,
    utm_term text,
    utm_content text,
    landing_page text,
    notes text
);
GRANT SELECT ON campaigns TO gateway_requests;

-- Where a person came from, as of their first contact.
CREATE TABLE acquisition_channels (
    person_id uuid PRIMARY KEY REFERENCES people ON DELETE CASCADE,
    payload text NOT NULL,
    referral text,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    utm_term text,
    utm_content text,
    landing_page text,
    conversion_stage text NOT NULL CHECK (conversion_stage IN ('started', 'consented', 'submitted')),
    notes text,
    created_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE (conversion_stage) ON acquisition_channels TO gateway_requests;

-- Calls to make at Telegram, in order within a chat. The body is sealed; the row goes when the call is made.
CREATE TABLE outgoing (
    outgoing_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bot_id bigint NOT NULL,
    chat_id bigint NOT NULL,
    person_id uuid NOT NULL,
    method text NOT NULL,
    body bytea NOT NULL,
    traceparent text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX outgoing_waiting ON outgoing (bot_id, outgoing_id);
CREATE INDEX outgoing_of_chat ON outgoing (bot_id, chat_id, outgoing_id);
GRANT INSERT ON outgoing TO gateway_requests;
GRANT SELECT, DELETE ON outgoing TO gateway_worker;

-- The duty to put a version of a letter into a chat, once.
CREATE TABLE deliveries (
    letter_id uuid NOT NULL,
    version int NOT NULL,
    bot_id bigint NOT NULL,
    chat_id bigint NOT NULL,
    person_id uuid NOT NULL REFERENCES people ON DELETE CASCADE,
    step text NOT NULL CHECK (step IN ('unsure', 'following', 'shown', 'asking', 'ended')),
    outcome text CHECK (outcome IN ('completed', 'failed', 'cancelled', 'undeliverable', 'withdrawn')),
    message_id bigint,
    traceparent text NOT NULL,
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (letter_id, version)
);
COMMENT ON COLUMN deliveries.step IS
    'unsure: nobody knows whether the letter was accepted; following: it is being written, the placeholder grows;
     shown: how it ended stands in the chat; asking: the rating message is on its way; ended';
CREATE INDEX deliveries_open ON deliveries (bot_id, created_at) WHERE step <> 'ended';
CREATE INDEX deliveries_ended ON deliveries (ended_at) WHERE step = 'ended';
GRANT SELECT, INSERT, UPDATE ON deliveries TO gateway_requests;
GRANT SELECT, UPDATE, DELETE ON deliveries TO gateway_worker;

-- The one process that polls, sends and delivers for a bot.
CREATE TABLE bot_leases (
    bot_id bigint PRIMARY KEY,
    holder text NOT NULL,
    expires_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON bot_leases TO gateway_worker;

CREATE TABLE outbox (
    event_id uuid PRIMARY KEY,
    payload bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz
);
CREATE INDEX outbox_waiting ON outbox (created_at);
GRANT INSERT ON outbox TO gateway_requests;
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO gateway_worker;

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['people', 'chats', 'consents', 'acquisition_channels', 'outgoing', 'deliveries'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY own_rows ON %I TO gateway_requests
             USING (person_id = nullif(current_setting(''app.person_id'', true), '''')::uuid)', name);
        EXECUTE format('CREATE POLICY all_rows ON %I TO gateway_worker USING (true)', name);
    END LOOP;
END $$;
