-- Who enqueues needs the right to insert notifications, and none on the tables that the triggers fill. So the functions
-- that write have their owner's rights, and only those whom the owner allows may call them: a trigger function that
-- anybody may execute could be put on anybody's table, to write what they like.
ALTER FUNCTION outbox.put_into_queue SECURITY DEFINER;
ALTER FUNCTION outbox.take_out_of_queue SECURITY DEFINER;
ALTER FUNCTION outbox.empty_queue SECURITY DEFINER;
ALTER FUNCTION outbox.enqueue SECURITY DEFINER;
ALTER FUNCTION outbox.enqueue_many SECURITY DEFINER;
ALTER FUNCTION outbox.cancel SECURITY DEFINER;
ALTER FUNCTION outbox.ensure_partitions SECURITY DEFINER;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA outbox FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.uuid7, outbox.uuid7_floor, outbox.uuid7_time TO PUBLIC;
