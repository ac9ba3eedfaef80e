"""Who may get what, and talking to them: districts and their keys, OAuth clients, grants, deliveries."""
