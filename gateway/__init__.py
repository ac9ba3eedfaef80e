"""The running service: HTTP, database, background duties, command line."""
