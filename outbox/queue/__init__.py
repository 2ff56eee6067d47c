"""The transitions of a notification: one file each, with its SQL, its result and the function that runs it."""
