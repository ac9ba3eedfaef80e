"""OAuth 2.0 between machines, after FAPI 2.0: who is calling, and calling others.

    metadata   what this authorization server says of itself (RFC 8414)
    server     the token endpoint, on Authlib: client_credentials (RFC 6749, 9068)
    introspection, revocation    looking at a token and ending it (RFC 7662, 9701, 7009); revocations keeps the ends
    client_auth    who asks the three of them: private_key_jwt alone (RFC 7523)
    resource   a token and what it is bound to -> Principal, for every protected request
    bindings   to what: a proof key, a certificate (RFC 8705), or nothing
    token_keys our keys that sign tokens, as they are at this moment
    client     the other side: tokens and proofs for our own calls
    dpop       proofs of possession, made and checked (RFC 9449); replay keeps each to one use, nonces make them fresh
    buckets    how often somebody may ask, before anything is looked at
    keys, jwt  which keys and which signed texts are taken at all
    clients    the client record; store keeps it, registered says what keys and certificates it may bring
    certificates    what a client certificate says, and who issued it (RFC 8705)

Nothing here knows a web framework. No shared secrets exist, and no token without a key that proves it, but for the few
clients that an administrator has marked.
"""
