"""Rules of thumb measured again on the user's own data: `ann study NAME`."""
