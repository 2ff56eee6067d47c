-- Whoever inserts a user, by whatever program, enqueues their two emails with it: an INSERT is all that it takes.
CREATE TABLE IF NOT EXISTS users (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text   NOT NULL UNIQUE,
    name  text   NOT NULL
);

CREATE OR REPLACE FUNCTION greet() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO outbox.notifications (channel, recipient, template, payload, priority, run_at, expires_at, idempotency_key)
    VALUES
        ('email', NEW.email, 'verify',
         jsonb_build_object('name', NEW.name, 'link', 'https://shop.example/verify/' || NEW.id),
         0, now(), now() + interval '1 hour', 'verify:' || NEW.id),
        ('email', NEW.email, 'welcome', jsonb_build_object('name', NEW.name),
         8, now() + interval '10 minutes', NULL, 'welcome:' || NEW.id);
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER greet AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION greet();
