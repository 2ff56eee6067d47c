DROP VIEW outbox.audit_daily, outbox.audit_days, outbox.audit_failures, outbox.audit_by_recipient, outbox.audit_timeline;
