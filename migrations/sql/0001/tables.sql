CREATE SCHEMA IF NOT EXISTS outbox;

-- Ids. A UUIDv7 (RFC 9562) begins with its time, so the primary key is also the partition key.

-- 48 bits of milliseconds and 12 of their fraction, so that ids made in one statement keep their order.
CREATE FUNCTION outbox.uuid7() RETURNS uuid
    LANGUAGE sql VOLATILE PARALLEL SAFE
    RETURN (overlay(lpad(to_hex((date_part('epoch', clock_timestamp()) * 4096000)::bigint), 15, '0') PLACING '7' FROM 13 FOR 0)
            || substr(gen_random_uuid()::text, 20))::uuid;

CREATE FUNCTION outbox.uuid7_floor(moment timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (lpad(to_hex((date_part('epoch', moment) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid;

CREATE FUNCTION outbox.uuid7_time(id uuid) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN to_timestamp((('x' || substr(id::text, 1, 8) || substr(id::text, 10, 4))::bit(48)::bigint) / 1000.0);

-- Facts: written once.

-- The sizes bound the stored form, which can be several times the JSON text (enqueue() takes 256 KiB of text at most), so
-- that what enqueue() accepts never fails here.
CREATE TABLE outbox.notifications (
    id              uuid        NOT NULL DEFAULT outbox.uuid7(),
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at      timestamptz,
    priority        smallint    NOT NULL DEFAULT 5,
    channel         text        NOT NULL,
    recipient       text        NOT NULL,
    template        text,
    locale          text,
    payload         jsonb       NOT NULL DEFAULT '{}',
    headers         jsonb,
    topic           text,
    group_key       text,
    idempotency_key text,
    CONSTRAINT notifications_pkey PRIMARY KEY (id),
    CONSTRAINT notifications_id_is_version_7 CHECK ((get_byte(uuid_send(id), 6) >> 4) = 7),
    CONSTRAINT notifications_priority_from_0_to_9 CHECK (priority BETWEEN 0 AND 9),
    CONSTRAINT notifications_channel_is_a_name CHECK (channel ~ '^[a-z][a-z0-9_]{0,62}$'),
    CONSTRAINT notifications_recipient_is_printable
        CHECK (recipient <> '' AND octet_length(recipient) <= 4096 AND recipient !~ '[\x01-\x1f\x7f]'),
    CONSTRAINT notifications_template_is_short CHECK (length(template) BETWEEN 1 AND 255),
    CONSTRAINT notifications_locale_is_short CHECK (length(locale) BETWEEN 1 AND 64),
    CONSTRAINT notifications_payload_is_an_object
        CHECK (jsonb_typeof(payload) = 'object' AND pg_column_size(payload) <= 2097152),
    CONSTRAINT notifications_headers_are_an_object
        CHECK (jsonb_typeof(headers) = 'object' AND pg_column_size(headers) <= 131072),
    CONSTRAINT notifications_topic_is_short CHECK (length(topic) BETWEEN 1 AND 255),
    CONSTRAINT notifications_group_key_is_short CHECK (length(group_key) BETWEEN 1 AND 255),
    CONSTRAINT notifications_idempotency_key_is_short CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    -- Neither infinity nor a year that no client can read: a worker could not claim such a row, nor anything beside it.
    CONSTRAINT notifications_times_are_real CHECK (
        created_at BETWEEN '1970-01-01 00:00+00' AND '9000-01-01 00:00+00'
        AND run_at BETWEEN '1970-01-01 00:00+00' AND '9000-01-01 00:00+00'
        AND (expires_at IS NULL OR expires_at BETWEEN '1970-01-01 00:00+00' AND '9000-01-01 00:00+00'))
) PARTITION BY RANGE (id);

CREATE INDEX notifications_group_key ON outbox.notifications (group_key) WHERE group_key IS NOT NULL;

CREATE TABLE outbox.attempts (
    notification_id     uuid        NOT NULL,
    claim               bigint      NOT NULL,
    started_at          timestamptz,
    finished_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    worker              bigint,
    attempt             smallint    NOT NULL,
    outcome             text        NOT NULL,
    provider            text,
    provider_message_id text,
    error_class         text,
    error_code          text,
    error               text,
    CONSTRAINT attempts_pkey PRIMARY KEY (notification_id, claim),
    CONSTRAINT attempts_outcome_is_known CHECK (outcome IN (
        'sent', 'retry', 'dead', 'deferred', 'suppressed', 'expired', 'ambiguous', 'lost', 'cancelled'))
) PARTITION BY RANGE (notification_id);

CREATE TABLE outbox.idempotency_keys (
    notification_id uuid        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    channel         text        NOT NULL,
    key             text        NOT NULL,
    digest          bytea       NOT NULL,
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (key, channel)
);

-- Work: what remains to be done, narrow and hot. Widest alignment first, so that no row carries padding.

CREATE TABLE outbox.queue (
    id       uuid        NOT NULL,
    run_at   timestamptz NOT NULL,
    claim    bigint      NOT NULL DEFAULT 0,
    worker   bigint,
    priority smallint    NOT NULL,
    attempt  smallint    NOT NULL DEFAULT 0,
    lost     smallint    NOT NULL DEFAULT 0,
    channel  text        NOT NULL,
    CONSTRAINT queue_pkey PRIMARY KEY (id)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05
);

CREATE INDEX queue_due ON outbox.queue (channel, priority, run_at);

CREATE TABLE outbox.workers (
    id         bigint      GENERATED ALWAYS AS IDENTITY,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    pid        bigint      NOT NULL,
    host       text        NOT NULL,
    version    text        NOT NULL,
    channels   text[]      NOT NULL,
    idle       text[]      NOT NULL DEFAULT '{}',
    CONSTRAINT workers_pkey PRIMARY KEY (id)
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_cost_delay = 0
);

-- Ends that people look at.

CREATE TABLE outbox.dead_letters (
    notification_id uuid        NOT NULL,
    enqueued_at     timestamptz NOT NULL,
    died_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    resolved_at     timestamptz,
    attempts        smallint    NOT NULL,
    replays         smallint    NOT NULL DEFAULT 0,
    priority        smallint    NOT NULL,
    channel         text        NOT NULL,
    recipient       text        NOT NULL,
    template        text,
    locale          text,
    payload         jsonb       NOT NULL,
    headers         jsonb,
    topic           text,
    group_key       text,
    idempotency_key text,
    reason          text        NOT NULL,
    provider        text,
    error_class     text,
    error_code      text,
    error           text,
    resolution      text,
    CONSTRAINT dead_letters_pkey PRIMARY KEY (notification_id),
    CONSTRAINT dead_letters_resolution_is_known CHECK (resolution IN ('replayed', 'discarded')),
    CONSTRAINT dead_letters_resolved_at_goes_with_resolution CHECK ((resolution IS NULL) = (resolved_at IS NULL))
);

CREATE INDEX dead_letters_open ON outbox.dead_letters (channel, died_at) WHERE resolution IS NULL;

CREATE TABLE outbox.inbox (
    notification_id uuid        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at         timestamptz,
    read_at         timestamptz,
    archived_at     timestamptz,
    recipient       text        NOT NULL,
    title           text        NOT NULL,
    body            text        NOT NULL DEFAULT '',
    data            jsonb       NOT NULL DEFAULT '{}',
    CONSTRAINT inbox_pkey PRIMARY KEY (notification_id),
    CONSTRAINT inbox_data_is_an_object CHECK (jsonb_typeof(data) = 'object')
);

CREATE INDEX inbox_of_recipient ON outbox.inbox (recipient, notification_id DESC);

-- Judgement: who must not be contacted, how fast, and what is held.

CREATE TABLE outbox.suppressions (
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    until      timestamptz,
    channel    text        NOT NULL,
    recipient  text        NOT NULL,
    topic      text        NOT NULL DEFAULT '',
    reason     text        NOT NULL,
    source     text        NOT NULL DEFAULT 'manual',
    CONSTRAINT suppressions_pkey PRIMARY KEY (channel, recipient, topic),
    CONSTRAINT suppressions_recipient_is_in_lookup_form CHECK (recipient = CASE WHEN channel = 'email' THEN lower(recipient) ELSE recipient END)
);

CREATE TABLE outbox.limits (
    refilled_at timestamptz      NOT NULL DEFAULT clock_timestamp(),
    per_second  double precision NOT NULL,
    burst       double precision NOT NULL,
    tokens      double precision NOT NULL,
    scope       text             NOT NULL,
    name        text             NOT NULL,
    CONSTRAINT limits_pkey PRIMARY KEY (scope, name),
    CONSTRAINT limits_scope_is_known CHECK (scope IN ('channel', 'provider', 'recipient')),
    CONSTRAINT limits_are_positive CHECK (per_second > 0 AND burst > 0 AND tokens <= burst)
);

CREATE TABLE outbox.pauses (
    paused_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    until     timestamptz,
    scope     text        NOT NULL,
    name      text        NOT NULL,
    reason    text        NOT NULL,
    CONSTRAINT pauses_pkey PRIMARY KEY (scope, name),
    CONSTRAINT pauses_scope_is_known CHECK (scope IN ('channel', 'provider'))
);
