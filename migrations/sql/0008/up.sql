-- No id is older than 1970. A negative number of milliseconds has sixteen digits in hex, of which lpad() left the first
-- twelve: the floor of a moment before 1970 was above every id there is, and a retention of 36,500 days kept nothing.
CREATE OR REPLACE FUNCTION outbox.uuid7_floor(moment timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (lpad(to_hex((greatest(date_part('epoch', moment), 0) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid;
