-- A key whose letter was edited stands for what that said before.
UPDATE outbox.idempotency_keys k
SET digest = outbox.digest(d.recipient, d.template, d.locale, d.payload, d.headers, d.topic, d.group_key)
FROM outbox.dead_letters d
WHERE d.replaced_by = k.notification_id AND octet_length(k.digest) = 8;

UPDATE outbox.idempotency_keys k
SET digest = outbox.digest(n.recipient, n.template, n.locale, n.payload, n.headers, n.topic, n.group_key)
FROM outbox.notifications n
WHERE n.id = k.notification_id AND octet_length(k.digest) = 8;

DROP FUNCTION outbox.content_differs;
DROP FUNCTION outbox.content_hash;
COMMENT ON FUNCTION outbox.digest IS 'What counts as the same content under one idempotency key';
