"""People of this gateway's own party: accounts, roles, sign-in, sessions.

    roles          what each role may do, and which nobody may hold together
    person         who acts: what acts of governance are given, and what the log calls people
    tables         the rows; the database itself refuses what separation of duties forbids
    accounts       accounts and the roles granted to them
    passwords      argon2id, a few at a time, and none that anybody would try
    second_factor  codes of an authenticator, each taken once
    tries          how long the next try waits after failures: never for ever
    sign_in        all of these together, and the second factor shown again
    sessions       a signed-in person, from the console or a terminal, until it ends
    enrolment      founding a gateway, and how somebody comes to a password and a second factor
    changes        who is let in, as what, and kept out

A person is never a client and a client never a person: partner tokens do not reach the console, and people have no
tokens there but read-only ones of their own.
"""
