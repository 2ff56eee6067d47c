DROP FUNCTION outbox.advance_fan_out, outbox.staged_rows, outbox.staged_sample, outbox.stage_fan_out, outbox.enqueue_select, outbox.enqueue_rows,
              outbox.selected_row, outbox.selected_rows, outbox.is_mailbox;
DROP TABLE outbox.fan_outs;
