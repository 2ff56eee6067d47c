DROP TABLE outbox.audit;
DROP FUNCTION outbox.refuse_rewriting;
