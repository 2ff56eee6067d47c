DROP INDEX outbox.digests_group_key;
