"""Each check finds what it looks for where that was brought about, and its remedy, typed, mends it."""
