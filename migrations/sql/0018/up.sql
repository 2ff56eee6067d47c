CREATE INDEX digests_group_key ON outbox.digests (group_key) WHERE group_key IS NOT NULL;
