-- How much waits: small, read by everybody who wants to know, and written by one worker now and then, so that nobody
-- counts millions of rows to draw a line.
CREATE TABLE outbox.depths (
    measured_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    oldest_due_at timestamptz,
    due           bigint      NOT NULL,
    leased        bigint      NOT NULL,
    scheduled     bigint      NOT NULL,
    retrying      bigint      NOT NULL,
    blocked       bigint      NOT NULL,
    priority      smallint    NOT NULL,
    is_estimate   boolean     NOT NULL DEFAULT false,
    channel       text        NOT NULL,
    CONSTRAINT depths_pkey PRIMARY KEY (channel, priority)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE outbox.depths IS 'How much there was in the queue when it was measured last, a row a channel and priority';
COMMENT ON COLUMN outbox.depths.measured_at IS 'When that was';
COMMENT ON COLUMN outbox.depths.oldest_due_at IS 'Since when the oldest of those due had been due; empty when none was';
COMMENT ON COLUMN outbox.depths.due IS 'To be sent now, those included whose worker vanished';
COMMENT ON COLUMN outbox.depths.leased IS 'In a worker''s hands';
COMMENT ON COLUMN outbox.depths.scheduled IS 'For later, with no attempt used: not tried yet, or put off';
COMMENT ON COLUMN outbox.depths.retrying IS 'For later, with some attempts used';
COMMENT ON COLUMN outbox.depths.blocked IS 'Behind an earlier one with the same ordering key';
COMMENT ON COLUMN outbox.depths.priority IS 'The priority';
COMMENT ON COLUMN outbox.depths.is_estimate IS 'Whether there were too many to count, so that the five numbers are estimates';
COMMENT ON COLUMN outbox.depths.channel IS 'The channel';

-- What else there is one of for the whole fleet.
CREATE TABLE outbox.gauges (
    measured_at timestamptz      NOT NULL DEFAULT clock_timestamp(),
    value       double precision NOT NULL,
    name        text             NOT NULL,
    channel     text             NOT NULL DEFAULT '',
    CONSTRAINT gauges_pkey PRIMARY KEY (name, channel)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE outbox.gauges IS 'What else was measured last: dead letters that are open, dead tuples, partitions ahead, …';
COMMENT ON COLUMN outbox.gauges.measured_at IS 'When that was';
COMMENT ON COLUMN outbox.gauges.value IS 'How much';
COMMENT ON COLUMN outbox.gauges.name IS 'Of what';
COMMENT ON COLUMN outbox.gauges.channel IS 'On which channel; empty for what belongs to none';

-- How it went, a row a minute: each worker adds what it did, and who measures the depth adds that.
CREATE TABLE outbox.samples (
    at                 timestamptz NOT NULL,
    sent               bigint      NOT NULL DEFAULT 0,
    failed             bigint      NOT NULL DEFAULT 0,
    retried            bigint      NOT NULL DEFAULT 0,
    dead               bigint      NOT NULL DEFAULT 0,
    untried            bigint      NOT NULL DEFAULT 0,
    waiting            bigint,
    due                bigint,
    leased             bigint,
    dead_letters       bigint,
    oldest_due_seconds double precision,
    channel            text        NOT NULL,
    provider           text        NOT NULL DEFAULT '',
    delivery           bigint[]    NOT NULL DEFAULT '{}',
    CONSTRAINT samples_pkey PRIMARY KEY (at, channel, provider)
) WITH (fillfactor = 70);
COMMENT ON TABLE outbox.samples IS 'How it went, a row a minute, channel and provider; kept for 14 days';
COMMENT ON COLUMN outbox.samples.at IS 'When the minute began';
COMMENT ON COLUMN outbox.samples.sent IS 'Deliveries that were accepted';
COMMENT ON COLUMN outbox.samples.failed IS 'Deliveries that were tried, and not accepted as far as anybody knows: tried again, given up, or in doubt';
COMMENT ON COLUMN outbox.samples.retried IS 'Those of them that are due again';
COMMENT ON COLUMN outbox.samples.dead IS 'Notifications that were given up, tried or not';
COMMENT ON COLUMN outbox.samples.untried IS 'Claims that ended with nothing tried: deferred, suppressed, expired or cancelled';
COMMENT ON COLUMN outbox.samples.waiting IS 'How many were in nobody''s hands, at the end of it; on the channel''s own row alone, as are the next four';
COMMENT ON COLUMN outbox.samples.due IS 'How many of those were due';
COMMENT ON COLUMN outbox.samples.leased IS 'How many were in a worker''s hands';
COMMENT ON COLUMN outbox.samples.dead_letters IS 'How many dead letters were open';
COMMENT ON COLUMN outbox.samples.oldest_due_seconds IS 'For how long the oldest of those due had been waiting; empty when none was';
COMMENT ON COLUMN outbox.samples.channel IS 'The channel';
COMMENT ON COLUMN outbox.samples.provider IS 'The provider that was asked; empty on the channel''s own row, which has what no provider was asked for';
COMMENT ON COLUMN outbox.samples.delivery IS 'How many deliveries took how long: a histogram whose n-th number counts those of at most 2^((n-1)/2) ms';

ALTER TABLE outbox.workers ADD COLUMN report jsonb;
COMMENT ON COLUMN outbox.workers.report IS 'What it last told of itself: what is in hand, what it counted, which providers it holds; empty before it did';

-- The last minute's attempts are the last pages of the partition, and this says which: 24 bytes for each megabyte.
CREATE INDEX attempts_finished ON outbox.attempts USING brin (finished_at) WITH (autosummarize = on);
