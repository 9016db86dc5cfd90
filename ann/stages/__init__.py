"""One module a stage: load artifacts, call the library, save artifacts."""
