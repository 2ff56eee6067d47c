"""What people see of the commands: tables and colours on a terminal, plain text or JSON in a pipe."""
