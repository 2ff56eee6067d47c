DROP FUNCTION outbox.unsuppress, outbox.lift_suppression, outbox.sweep_suppressed, outbox.suppress, outbox.waiting_for,
              outbox.waiting_one_by_one, outbox.end_suppressed, outbox.refuse_suppression, outbox.kept_suppression,
              outbox.reason_strength;
DROP TABLE outbox.topics;
COMMENT ON COLUMN outbox.suppressions.reason IS 'Why, such as hard_bounce, complaint, unsubscribed';
