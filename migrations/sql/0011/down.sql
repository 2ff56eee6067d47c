DROP FUNCTION outbox.supersede;
