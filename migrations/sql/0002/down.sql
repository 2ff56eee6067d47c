DROP TABLE outbox.chores;
