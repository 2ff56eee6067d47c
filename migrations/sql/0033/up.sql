-- What an idempotency key stands for is told by PostgreSQL's hash of a record. JSON is hashed as text: the hash of a jsonb
-- does not know where an object or an array ends, and takes {"a": [1, 2]} and {"a": [[1], 2]} for one.
CREATE FUNCTION outbox.content_hash(
    recipient text, template text, locale text, payload jsonb, headers jsonb, topic text, group_key text
) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN int8send(hash_record_extended(ROW (recipient, template, locale, payload::text, headers::text, topic, group_key), 0));

CREATE FUNCTION outbox.content_differs(
    digest bytea, recipient text, template text, locale text, payload jsonb, headers jsonb, topic text, group_key text
) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN digest <> CASE octet_length(digest)
                     WHEN 8 THEN outbox.content_hash(recipient, template, locale, payload, headers, topic, group_key)
                     ELSE outbox.digest(recipient, template, locale, payload, headers, topic, group_key)
                     END;

REVOKE EXECUTE ON FUNCTION outbox.content_hash, outbox.content_differs FROM PUBLIC;
COMMENT ON FUNCTION outbox.content_hash IS 'Tells contents of one idempotency key apart: 8 bytes';
COMMENT ON FUNCTION outbox.content_differs IS 'Tells whether a key stands for other content, by a digest of either kind';
COMMENT ON FUNCTION outbox.digest IS 'Told contents of one idempotency key apart, until migration 0033: 16 bytes';
