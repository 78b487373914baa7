-- The six views. Days, weeks (from Monday) and months are UTC. They read as whoever asks, so they open no side door.

-- How many people did something, and how far their letters went, by day, week and month.
-- What a service did for a person is no sign that the person was there.
CREATE VIEW user_stats WITH (security_invoker) AS
SELECT
    period,
    (date_trunc(period, occurred_at, 'UTC') AT TIME ZONE 'UTC')::date AS starts_on,
    count(DISTINCT person_id) FILTER (
        WHERE name NOT IN ('letter_generated', 'letter_failed', 'letter_delivered')) AS active_people,
    count(DISTINCT person_id) FILTER (
        WHERE name = 'start_command' AND data @> '{"first": true}') AS new_people,
    count(DISTINCT letter_id) FILTER (WHERE name = 'letter_submitted') AS letters_submitted,
    count(DISTINCT letter_id) FILTER (
        WHERE name = 'letter_generated' AND data @> '{"version": 0}') AS letters_completed,
    count(DISTINCT person_id) FILTER (WHERE name = 'limit_reached') AS people_at_limit
FROM user_events CROSS JOIN unnest(ARRAY['day', 'week', 'month']) AS period
GROUP BY period, starts_on;

-- Letters by where they stand and by the model that wrote them (none unless completed). Revisions do not change where a
-- letter stands.
CREATE VIEW session_stats WITH (security_invoker) AS
WITH letters AS (
    SELECT
        letter_id,
        CASE
            WHEN bool_or(name = 'letter_generated') THEN 'completed'
            WHEN bool_or(name = 'letter_cancelled') THEN 'cancelled'
            WHEN bool_or(name = 'letter_failed') THEN 'failed'
            WHEN bool_or(name = 'letter_submitted') THEN 'in_progress'
            ELSE 'draft'
        END AS status,
        max(data ->> 'model') FILTER (WHERE name = 'letter_generated') AS model,
        max((data ->> 'generation_ms')::bigint) FILTER (WHERE name = 'letter_generated') AS generation_ms,
        max((data ->> 'queued_ms')::bigint) FILTER (WHERE name = 'letter_generated') AS queued_ms,
        max((data ->> 'characters')::bigint) FILTER (WHERE name = 'letter_generated') AS characters
    FROM user_events
    WHERE letter_id IS NOT NULL
        AND (name IN ('vacancy_sent', 'letter_submitted')
            OR name IN ('letter_generated', 'letter_failed', 'letter_cancelled') AND data @> '{"version": 0}')
    GROUP BY letter_id
)
SELECT
    status,
    model,
    count(*) AS letters,
    round(avg(generation_ms))::bigint AS mean_generation_ms,
    round(avg(queued_ms))::bigint AS mean_queued_ms,
    round(avg(characters))::bigint AS mean_characters
FROM letters
GROUP BY status, model;

-- How often each event of the catalogue came about on a day, and for how many people.
CREATE VIEW user_activity WITH (security_invoker) AS
SELECT
    (occurred_at AT TIME ZONE 'UTC')::date AS day,
    name,
    count(*) AS events,
    count(DISTINCT person_id) AS people
FROM (
    SELECT occurred_at, name, person_id FROM user_events
    UNION ALL SELECT occurred_at, 'ai_request', person_id FROM ai_requests
    UNION ALL SELECT occurred_at, 'error', person_id FROM error_logs
) AS facts
GROUP BY day, name;

-- What each model did on a day and what it cost. Times are of calls that succeeded: a failure is quick, or a timeout.
CREATE VIEW ai_usage WITH (security_invoker) AS
SELECT
    (occurred_at AT TIME ZONE 'UTC')::date AS day,
    vendor,
    model,
    count(*) AS calls,
    count(*) FILTER (WHERE NOT success) AS failures,
    sum(prompt_tokens)::bigint AS prompt_tokens,
    sum(completion_tokens)::bigint AS completion_tokens,
    sum(cost_micro_usd)::bigint AS cost_micro_usd,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY response_time_ms) FILTER (WHERE success) AS p50_response_ms,
    percentile_disc(0.95) WITHIN GROUP (ORDER BY response_time_ms) FILTER (WHERE success) AS p95_response_ms,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY first_token_ms) FILTER (WHERE success) AS p50_first_token_ms
FROM ai_requests
GROUP BY day, vendor, model;

-- Likes and dislikes by model and version (0 for the letter, 1 to 3 for revisions). A person may think again: the last
-- word on a version counts.
CREATE VIEW feedback_stats WITH (security_invoker) AS
WITH ratings AS (
    SELECT DISTINCT ON (letter_id, data -> 'version')
        letter_id, data -> 'version' AS version, (data ->> 'liked')::boolean AS liked
    FROM user_events
    WHERE name = 'feedback'
    ORDER BY letter_id, data -> 'version', occurred_at DESC, event_id
), texts AS (
    SELECT DISTINCT ON (letter_id, data -> 'version')
        letter_id, data -> 'version' AS version, data ->> 'model' AS model
    FROM user_events
    WHERE name = 'letter_generated'
    ORDER BY letter_id, data -> 'version', occurred_at DESC, event_id
)
SELECT
    model,
    version::bigint AS version,
    count(*) FILTER (WHERE liked) AS likes,
    count(*) FILTER (WHERE NOT liked) AS dislikes,
    round(count(*) FILTER (WHERE liked) / count(*)::numeric, 3) AS like_rate
FROM ratings LEFT JOIN texts USING (letter_id, version)
GROUP BY model, version;

-- What became of revisions, by their number.
CREATE VIEW iteration_stats WITH (security_invoker) AS
WITH revisions AS (
    SELECT
        letter_id,
        (data ->> 'version')::bigint AS version,
        bool_or(name = 'letter_generated') AS completed,
        bool_or(name = 'letter_failed') AS failed,
        bool_or(name = 'letter_cancelled') AS cancelled,
        max((data ->> 'generation_ms')::bigint) AS generation_ms
    FROM user_events
    WHERE name IN ('iteration', 'letter_generated', 'letter_failed', 'letter_cancelled')
        AND NOT data @> '{"version": 0}'
    GROUP BY letter_id, version
)
SELECT
    version,
    count(*) AS requested,
    count(*) FILTER (WHERE completed) AS completed,
    count(*) FILTER (WHERE failed) AS failed,
    count(*) FILTER (WHERE cancelled) AS cancelled,
    round(avg(generation_ms))::bigint AS mean_generation_ms
FROM revisions
GROUP BY version;

GRANT SELECT ON user_stats, session_stats, user_activity, ai_usage, feedback_stats, iteration_stats TO analytics_worker;
