-- What \d+ shows. The words about tables stand in outbox/schema/ too; a test holds the two equal.

COMMENT ON SCHEMA outbox IS 'Notifications: enqueued by applications in their own transactions, delivered by outbox workers';

COMMENT ON TABLE outbox.notifications IS 'The outbox: what should be sent, one immutable row a notification. Any INSERT enqueues';
COMMENT ON COLUMN outbox.notifications.id IS 'UUIDv7: begins with the time of its making, which is also the partition it lies in';
COMMENT ON COLUMN outbox.notifications.created_at IS 'When it was enqueued, by the database''s clock';
COMMENT ON COLUMN outbox.notifications.run_at IS 'Not to be sent before this moment';
COMMENT ON COLUMN outbox.notifications.expires_at IS 'Not to be sent after this moment: too late is worse than never';
COMMENT ON COLUMN outbox.notifications.priority IS '0 first, 9 last: urgent 0, high 2, normal 5, bulk 8';
COMMENT ON COLUMN outbox.notifications.channel IS 'email, or a channel of your own';
COMMENT ON COLUMN outbox.notifications.recipient IS 'One address, number, token or URL: one row a recipient';
COMMENT ON COLUMN outbox.notifications.template IS 'The template to render; without one the payload is the message';
COMMENT ON COLUMN outbox.notifications.locale IS 'The language to render in, such as pt-BR';
COMMENT ON COLUMN outbox.notifications.payload IS 'The template''s variables, or the message itself';
COMMENT ON COLUMN outbox.notifications.headers IS 'Headers of the message (List-Unsubscribe) and trace context';
COMMENT ON COLUMN outbox.notifications.topic IS 'What it is about, for consent: people opt out of topics';
COMMENT ON COLUMN outbox.notifications.group_key IS 'What it belongs to, for cancelling together, such as order:42';
COMMENT ON COLUMN outbox.notifications.idempotency_key IS 'One key, one notification, a channel: see idempotency_keys';

COMMENT ON TABLE outbox.attempts IS 'What happened: one row a claim that ended, append-only';
COMMENT ON COLUMN outbox.attempts.notification_id IS 'The notification';
COMMENT ON COLUMN outbox.attempts.claim IS 'Which claim of it this is the story of (1, 2, …); the fencing token';
COMMENT ON COLUMN outbox.attempts.started_at IS 'When the worker began to deliver; empty when it never said (lost, cancelled)';
COMMENT ON COLUMN outbox.attempts.finished_at IS 'When it ended';
COMMENT ON COLUMN outbox.attempts.worker IS 'The worker, as in workers.id';
COMMENT ON COLUMN outbox.attempts.attempt IS 'Deliveries tried so far, this one included where it counts';
COMMENT ON COLUMN outbox.attempts.outcome IS 'sent, retry, dead, deferred, suppressed, expired, ambiguous, lost or cancelled';
COMMENT ON COLUMN outbox.attempts.provider IS 'The provider that was tried';
COMMENT ON COLUMN outbox.attempts.provider_message_id IS 'The provider''s own id for the message';
COMMENT ON COLUMN outbox.attempts.error_class IS 'unreachable, rejected, misconfigured, throttled, temporary or ambiguous';
COMMENT ON COLUMN outbox.attempts.error_code IS 'The provider''s code, such as 550 5.1.1';
COMMENT ON COLUMN outbox.attempts.error IS 'What the provider said, cleaned and capped';

COMMENT ON TABLE outbox.idempotency_keys IS 'The unique constraint that makes enqueue idempotent; outlives the notification''s partition';
COMMENT ON COLUMN outbox.idempotency_keys.notification_id IS 'The notification that the key stands for';
COMMENT ON COLUMN outbox.idempotency_keys.created_at IS 'When it was taken';
COMMENT ON COLUMN outbox.idempotency_keys.channel IS 'The channel';
COMMENT ON COLUMN outbox.idempotency_keys.key IS 'The caller''s key';
COMMENT ON COLUMN outbox.idempotency_keys.digest IS 'Digest of the content: the same key with another digest is refused';

COMMENT ON TABLE outbox.queue IS 'What remains to be done: narrow and hot, one row a notification that has not ended';
COMMENT ON COLUMN outbox.queue.id IS 'The notification';
COMMENT ON COLUMN outbox.queue.run_at IS 'When it is next due; while leased, when the lease ends';
COMMENT ON COLUMN outbox.queue.claim IS 'How often it was claimed: every write after a claim carries it';
COMMENT ON COLUMN outbox.queue.worker IS 'The worker that holds it, as in workers.id; empty while it waits';
COMMENT ON COLUMN outbox.queue.priority IS 'As enqueued';
COMMENT ON COLUMN outbox.queue.attempt IS 'Deliveries tried';
COMMENT ON COLUMN outbox.queue.lost IS 'Claims whose worker vanished: bounds a message that kills its worker';
COMMENT ON COLUMN outbox.queue.channel IS 'As enqueued';

COMMENT ON TABLE outbox.workers IS 'One row a live worker';
COMMENT ON COLUMN outbox.workers.id IS 'The worker';
COMMENT ON COLUMN outbox.workers.started_at IS 'When it started';
COMMENT ON COLUMN outbox.workers.seen_at IS 'Its last heartbeat';
COMMENT ON COLUMN outbox.workers.pid IS 'Its process id on its host';
COMMENT ON COLUMN outbox.workers.host IS 'Its host''s name';
COMMENT ON COLUMN outbox.workers.version IS 'Its version of outbox';
COMMENT ON COLUMN outbox.workers.channels IS 'The channels it serves';
COMMENT ON COLUMN outbox.workers.idle IS 'Those on which it sleeps: an enqueue there notifies';

COMMENT ON TABLE outbox.dead_letters IS 'What could not be delivered, as self-contained copies, for a person to look at and to replay';
COMMENT ON COLUMN outbox.dead_letters.notification_id IS 'The notification';
COMMENT ON COLUMN outbox.dead_letters.enqueued_at IS 'When it was enqueued';
COMMENT ON COLUMN outbox.dead_letters.died_at IS 'When it was given up';
COMMENT ON COLUMN outbox.dead_letters.resolved_at IS 'When somebody replayed or discarded it';
COMMENT ON COLUMN outbox.dead_letters.attempts IS 'Deliveries tried';
COMMENT ON COLUMN outbox.dead_letters.replays IS 'How often it was replayed before';
COMMENT ON COLUMN outbox.dead_letters.priority IS 'As enqueued';
COMMENT ON COLUMN outbox.dead_letters.channel IS 'As enqueued';
COMMENT ON COLUMN outbox.dead_letters.recipient IS 'As enqueued';
COMMENT ON COLUMN outbox.dead_letters.template IS 'As enqueued';
COMMENT ON COLUMN outbox.dead_letters.locale IS 'As enqueued';
COMMENT ON COLUMN outbox.dead_letters.payload IS 'As enqueued';
COMMENT ON COLUMN outbox.dead_letters.headers IS 'As enqueued';
COMMENT ON COLUMN outbox.dead_letters.topic IS 'As enqueued';
COMMENT ON COLUMN outbox.dead_letters.group_key IS 'As enqueued';
COMMENT ON COLUMN outbox.dead_letters.idempotency_key IS 'As enqueued';
COMMENT ON COLUMN outbox.dead_letters.reason IS 'Why it ended here: rejected, unreachable, exhausted, too_old, ambiguous or poison';
COMMENT ON COLUMN outbox.dead_letters.provider IS 'The provider of the last attempt';
COMMENT ON COLUMN outbox.dead_letters.error_class IS 'The last error''s class';
COMMENT ON COLUMN outbox.dead_letters.error_code IS 'The last error''s code';
COMMENT ON COLUMN outbox.dead_letters.error IS 'The last error''s words';
COMMENT ON COLUMN outbox.dead_letters.resolution IS 'replayed or discarded; empty while it is open';

COMMENT ON TABLE outbox.inbox IS 'In-app notifications, written in the transaction that settles them';
COMMENT ON COLUMN outbox.inbox.notification_id IS 'The notification';
COMMENT ON COLUMN outbox.inbox.created_at IS 'When it arrived';
COMMENT ON COLUMN outbox.inbox.seen_at IS 'When it was shown';
COMMENT ON COLUMN outbox.inbox.read_at IS 'When it was opened';
COMMENT ON COLUMN outbox.inbox.archived_at IS 'When it was put away';
COMMENT ON COLUMN outbox.inbox.recipient IS 'Whose inbox';
COMMENT ON COLUMN outbox.inbox.title IS 'Its title';
COMMENT ON COLUMN outbox.inbox.body IS 'Its text';
COMMENT ON COLUMN outbox.inbox.data IS 'Anything the application wants back';

COMMENT ON TABLE outbox.suppressions IS 'Who must not be contacted; looked up by the claim itself';
COMMENT ON COLUMN outbox.suppressions.created_at IS 'Since when';
COMMENT ON COLUMN outbox.suppressions.until IS 'Until when; empty means for good';
COMMENT ON COLUMN outbox.suppressions.channel IS 'The channel';
COMMENT ON COLUMN outbox.suppressions.recipient IS 'The address; lower case on the channel email';
COMMENT ON COLUMN outbox.suppressions.topic IS 'Only this topic; empty means every topic';
COMMENT ON COLUMN outbox.suppressions.reason IS 'Why, such as hard_bounce, complaint, unsubscribed';
COMMENT ON COLUMN outbox.suppressions.source IS 'Who said so, such as manual, smtp';

COMMENT ON TABLE outbox.limits IS 'Token buckets shared by all workers';
COMMENT ON COLUMN outbox.limits.refilled_at IS 'When tokens was true';
COMMENT ON COLUMN outbox.limits.per_second IS 'Tokens that flow in each second';
COMMENT ON COLUMN outbox.limits.burst IS 'Tokens the bucket can hold';
COMMENT ON COLUMN outbox.limits.tokens IS 'Tokens at refilled_at';
COMMENT ON COLUMN outbox.limits.scope IS 'channel, provider or recipient';
COMMENT ON COLUMN outbox.limits.name IS 'Which one';

COMMENT ON TABLE outbox.pauses IS 'Channels and providers that are held';
COMMENT ON COLUMN outbox.pauses.paused_at IS 'Since when';
COMMENT ON COLUMN outbox.pauses.until IS 'Until when; empty means until somebody resumes it';
COMMENT ON COLUMN outbox.pauses.scope IS 'channel or provider';
COMMENT ON COLUMN outbox.pauses.name IS 'Which one';
COMMENT ON COLUMN outbox.pauses.reason IS 'Why';

COMMENT ON VIEW outbox.status IS 'One row a notification: its state, the attempts it has had, how the last one ended, when it is next due';
COMMENT ON FUNCTION outbox.enqueue IS 'Enqueues one notification in the current transaction; a conflict of its idempotency key is reported, not raised';
COMMENT ON FUNCTION outbox.enqueue_many IS 'Enqueues many in one statement from parallel arrays; one row back for each, in order';
COMMENT ON FUNCTION outbox.cancel IS 'Cancels what still waits, by id, idempotency key or group key, and counts what is beyond recall';
COMMENT ON FUNCTION outbox.digest IS 'What counts as the same content under one idempotency key';
COMMENT ON FUNCTION outbox.ensure_partitions IS 'Creates the missing day partitions, today (UTC) and so many days ahead; returns how many it made';
COMMENT ON FUNCTION outbox.uuid7 IS 'A new UUIDv7 (RFC 9562), by this database''s clock';
COMMENT ON FUNCTION outbox.uuid7_floor IS 'The smallest UUIDv7 of a moment: WHERE id >= outbox.uuid7_floor(now() - interval ''1 day'') reads only the partitions it needs';
COMMENT ON FUNCTION outbox.uuid7_time IS 'The moment that a UUIDv7 was made';
COMMENT ON FUNCTION outbox.take_idempotency_key IS 'Takes the idempotency key of a row about to be inserted; skips a duplicate';
COMMENT ON FUNCTION outbox.put_into_queue IS 'Puts inserted notifications into the queue and wakes an idle worker';
COMMENT ON FUNCTION outbox.refuse_update IS 'Keeps notifications immutable';
COMMENT ON FUNCTION outbox.empty_queue IS 'Empties the queue when all notifications are truncated';
COMMENT ON FUNCTION outbox.take_out_of_queue IS 'Takes deleted notifications out of the queue';

COMMENT ON COLUMN outbox.status.id IS 'The notification';
COMMENT ON COLUMN outbox.status.channel IS 'As enqueued';
COMMENT ON COLUMN outbox.status.recipient IS 'As enqueued';
COMMENT ON COLUMN outbox.status.template IS 'As enqueued';
COMMENT ON COLUMN outbox.status.topic IS 'As enqueued';
COMMENT ON COLUMN outbox.status.group_key IS 'As enqueued';
COMMENT ON COLUMN outbox.status.idempotency_key IS 'As enqueued';
COMMENT ON COLUMN outbox.status.priority IS 'As enqueued';
COMMENT ON COLUMN outbox.status.state IS 'due, scheduled, leased, retrying or deferred while work remains; then sent, dead, expired, suppressed or cancelled';
COMMENT ON COLUMN outbox.status.attempts IS 'Deliveries tried';
COMMENT ON COLUMN outbox.status.last_outcome IS 'How the last claim ended, or sent if any was';
COMMENT ON COLUMN outbox.status.last_provider IS 'The provider of that claim';
COMMENT ON COLUMN outbox.status.last_error_class IS 'The error''s class of that claim';
COMMENT ON COLUMN outbox.status.last_error_code IS 'The provider''s code for that error';
COMMENT ON COLUMN outbox.status.last_error IS 'The provider''s words for that error';
COMMENT ON COLUMN outbox.status.last_finished_at IS 'When that claim ended';
COMMENT ON COLUMN outbox.status.next_due_at IS 'When it is next due, or its lease ends; empty when nothing remains to be done';
COMMENT ON COLUMN outbox.status.run_at IS 'Not to be sent before this moment';
COMMENT ON COLUMN outbox.status.expires_at IS 'Not to be sent after this moment';
COMMENT ON COLUMN outbox.status.created_at IS 'When it was enqueued';

COMMENT ON TABLE outbox.migrations IS 'The revision of this schema, written by outbox migrate';
COMMENT ON COLUMN outbox.migrations.version_num IS 'The newest migration that was applied';
