DROP FUNCTION outbox.run_schedule, outbox.check_schedule, outbox.schedule_statement;
DROP TABLE outbox.schedule_runs, outbox.schedules;
DROP FUNCTION outbox.tell_of_schedules;
