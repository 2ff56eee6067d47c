UPDATE outbox.idempotency_keys k
SET digest = outbox.digest(n.recipient, n.template, n.locale, n.payload, n.headers, n.topic, n.group_key)
FROM outbox.notifications n
WHERE n.id = k.notification_id AND octet_length(k.digest) = 8;

DROP FUNCTION outbox.says_otherwise;
DROP FUNCTION outbox.content_hash;
COMMENT ON FUNCTION outbox.digest IS 'What counts as the same content under one idempotency key';
