-- Whoever claims and settles needs nothing granted for those with ordering keys: these two have their caller's rights.
GRANT EXECUTE ON FUNCTION outbox.is_blocked, outbox.unblock_next TO PUBLIC;
REVOKE EXECUTE ON FUNCTION outbox.stand_in_line, outbox.take_keys_together FROM PUBLIC;
