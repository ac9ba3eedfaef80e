"""`python -m bench`: what this gateway does in a second, beside a limit and a peer, all in one run."""
