"""`python -m bench`: what this gateway does in a second, beside the limit of the same machine and a peer, in one run."""
