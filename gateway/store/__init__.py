"""What this gateway holds: records with their history, the acts that brought them, batches, and what waits."""
