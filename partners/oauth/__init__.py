"""OAuth 2.0 between machines, after FAPI 2.0: who is calling, and calling others.

    metadata   what this authorization server says of itself (RFC 8414)
    server     the token endpoint, on Authlib: client_credentials with private_key_jwt (RFC 6749, 7523, 9068)
    resource   a token and its proof -> Principal, for every protected request
    client     the other side: tokens and proofs for our own calls
    dpop       proofs of possession, made and checked (RFC 9449); replay keeps each to one use
    keys, jwt  which keys and which signed texts are taken at all
    clients    the client record; store keeps it, registered says what keys and certificates it may bring
    certificates    what a client certificate says, and who issued it (RFC 8705)

Nothing here knows a web framework. No shared secrets exist, and no token without a key that proves it.
"""
