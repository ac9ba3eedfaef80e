"""The console listener: what is for this party's own people and machines."""
