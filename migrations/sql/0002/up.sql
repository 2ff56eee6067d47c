-- One row a chore: when it is due next, for whichever worker comes first. See docs/decisions/0006.
CREATE TABLE outbox.chores (
    due_at   timestamptz NOT NULL,
    done_at  timestamptz,
    failures integer     NOT NULL DEFAULT 0,
    name     text        NOT NULL,
    done_by  text,
    problem  text,
    CONSTRAINT chores_pkey PRIMARY KEY (name)
);

COMMENT ON TABLE outbox.chores IS 'What workers do now and then for all of them, one at a time: one row a chore that was ever tried';
COMMENT ON COLUMN outbox.chores.due_at IS 'When it is due next';
COMMENT ON COLUMN outbox.chores.done_at IS 'When it was last done';
COMMENT ON COLUMN outbox.chores.failures IS 'How often in a row it has failed since then';
COMMENT ON COLUMN outbox.chores.name IS 'Which chore';
COMMENT ON COLUMN outbox.chores.done_by IS 'The process that did it last, as host:pid';
COMMENT ON COLUMN outbox.chores.problem IS 'Why it failed last; empty when it did not';
