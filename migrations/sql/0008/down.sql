CREATE OR REPLACE FUNCTION outbox.uuid7_floor(moment timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (lpad(to_hex((date_part('epoch', moment) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid;
