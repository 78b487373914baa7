-- Facts, each stored once and in one table: AI requests and errors in their logs, every other in user_events.

-- What makes an event count once. A partitioned table can only be unique together with its partition key, and the same
-- event sent again with another time would then count twice; so the ids stand here, across all months.
CREATE TABLE event_ids (
    event_id uuid PRIMARY KEY,
    kept_at timestamptz NOT NULL
);
-- For the retention job. Rows arrive in the order of kept_at, so a few bytes for each block are enough.
CREATE INDEX event_ids_kept_at ON event_ids USING brin (kept_at);

CREATE TABLE user_events (
    event_id uuid NOT NULL,
    name text NOT NULL,
    occurred_at timestamptz NOT NULL,
    service text NOT NULL,
    person_id uuid,
    letter_id uuid,
    trace_id text,
    data jsonb NOT NULL
) PARTITION BY RANGE (occurred_at);
-- For the views, each of which reads a few names.
CREATE INDEX user_events_name ON user_events (name, occurred_at);
-- For questions about what a fact carries: data @> '{"reason": "timed_out"}'.
CREATE INDEX user_events_data ON user_events USING gin (data jsonb_path_ops);

-- Numbers come as uint32, which outgrows an int.
CREATE TABLE ai_requests (
    event_id uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    service text NOT NULL,
    person_id uuid,
    letter_id uuid,
    trace_id text,
    vendor text NOT NULL,
    model text NOT NULL,
    request_type text NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    total_tokens bigint NOT NULL GENERATED ALWAYS AS (prompt_tokens + completion_tokens) STORED,
    response_time_ms bigint NOT NULL,
    first_token_ms bigint NOT NULL,
    cost_micro_usd bigint NOT NULL,
    success boolean NOT NULL,
    error text NOT NULL
) PARTITION BY RANGE (occurred_at);

CREATE TABLE error_logs (
    event_id uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    service text NOT NULL,
    person_id uuid,
    letter_id uuid,
    trace_id text,
    error_type text NOT NULL,
    message text NOT NULL,
    stack_trace text NOT NULL,
    handler_name text NOT NULL
) PARTITION BY RANGE (occurred_at);

CREATE TABLE outbox (
    event_id uuid PRIMARY KEY,
    payload bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz
);
CREATE INDEX outbox_waiting ON outbox (created_at);

-- Months. Neither role that runs the service may create or drop a table; these two functions do it for them, as the
-- owner, and only so.

-- Makes the partitions of the month (UTC) that `moment` lies in, where they are missing.
CREATE FUNCTION make_month(moment timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = analytics, pg_temp SET lock_timeout = '3s' AS $$
DECLARE
    month timestamp := date_trunc('month', moment AT TIME ZONE 'UTC');
    parent text;
    partition text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('analytics months', 0));
    FOREACH parent IN ARRAY ARRAY['user_events', 'ai_requests', 'error_logs'] LOOP
        partition := parent || to_char(month, '_YYYY_MM');
        CONTINUE WHEN to_regclass(partition) IS NOT NULL;
        -- Attached afterwards: unlike PARTITION OF, that does not wait for those who read the other months.
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', partition, parent);
        -- Reached through the parent only, whose policies then hold; without one of its own nobody reads it directly.
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', partition);
        EXECUTE format(
            'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            parent, partition, month || '+00', month + interval '1 month' || '+00');
    END LOOP;
END $$;

-- Drops the partitions of every month (UTC) before the one that `moment` lies in; gives their number. Rather than keep
-- new events waiting behind a long reader it gives up, to be called again later.
CREATE FUNCTION drop_months_before(moment timestamptz) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = analytics, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    first_kept text := to_char(moment AT TIME ZONE 'UTC', '_YYYY_MM');
    partition regclass;
    dropped int := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('analytics months', 0));
    FOR partition IN
        SELECT inhrelid::regclass FROM pg_inherits
        WHERE inhparent IN ('user_events'::regclass, 'ai_requests'::regclass, 'error_logs'::regclass)
            AND right(inhrelid::regclass::text, 8) < first_kept
    LOOP
        EXECUTE format('DROP TABLE %s', partition);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

REVOKE ALL ON FUNCTION make_month(timestamptz), drop_months_before(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_month(timestamptz) TO analytics_requests, analytics_worker;
GRANT EXECUTE ON FUNCTION drop_months_before(timestamptz) TO analytics_worker;

-- The requests role adds facts and reads none, its own neither; of an id it learns whether it was new.
GRANT INSERT, SELECT (event_id) ON event_ids TO analytics_requests;
GRANT INSERT ON user_events, ai_requests, error_logs, outbox TO analytics_requests;
GRANT SELECT, DELETE ON event_ids TO analytics_worker;
GRANT SELECT ON user_events, ai_requests, error_logs TO analytics_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO analytics_worker;

ALTER TABLE user_events ENABLE ROW LEVEL SECURITY;
CREATE POLICY add_rows ON user_events FOR INSERT TO analytics_requests WITH CHECK (true);
CREATE POLICY all_rows ON user_events TO analytics_worker USING (true);
ALTER TABLE ai_requests ENABLE ROW LEVEL SECURITY;
CREATE POLICY add_rows ON ai_requests FOR INSERT TO analytics_requests WITH CHECK (true);
CREATE POLICY all_rows ON ai_requests TO analytics_worker USING (true);
ALTER TABLE error_logs ENABLE ROW LEVEL SECURITY;
CREATE POLICY add_rows ON error_logs FOR INSERT TO analytics_requests WITH CHECK (true);
CREATE POLICY all_rows ON error_logs TO analytics_worker USING (true);
