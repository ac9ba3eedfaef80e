"""What happened, provably: the Merkle log of every exchange, its signed heads, and the offline verifier."""
