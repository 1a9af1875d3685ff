"""The loop, without files and without a config."""
