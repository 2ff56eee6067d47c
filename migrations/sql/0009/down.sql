DROP FUNCTION outbox.sent_by, outbox.in_doubt;
DROP TRIGGER tell_of_arrivals ON outbox.inbox;
DROP FUNCTION outbox.tell_of_arrivals;
DROP INDEX outbox.inbox_unread;
DROP INDEX outbox.inbox_of_recipient;
CREATE INDEX inbox_of_recipient ON outbox.inbox (recipient, notification_id DESC);
ALTER TABLE outbox.inbox DROP COLUMN url, DROP COLUMN category;

-- What bound one sender would bind all of them; better than none.
DELETE FROM outbox.suppressions s
WHERE EXISTS (
    SELECT FROM outbox.suppressions o
    WHERE o.channel = s.channel AND o.recipient = s.recipient AND o.topic = s.topic AND o.sender < s.sender);
ALTER TABLE outbox.suppressions DROP CONSTRAINT suppressions_pkey;
ALTER TABLE outbox.suppressions ADD CONSTRAINT suppressions_pkey PRIMARY KEY (channel, recipient, topic);
ALTER TABLE outbox.suppressions DROP COLUMN sender;

UPDATE outbox.dead_letters SET reason = 'ambiguous' WHERE reason = 'in_doubt';
