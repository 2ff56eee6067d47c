"""The worker process: feeder → slots → settler, with a lifeline thread that keeps the leases and hears the wake-ups."""
