"""The one door for records, whoever brings them: decode → check → store → queue for publishing."""
