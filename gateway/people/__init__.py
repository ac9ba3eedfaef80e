"""People of this gateway's own party: accounts, roles, sign-in, sessions.

    roles       what each role may do, and which nobody may hold together
    person      who acts: what acts of governance are given, and what the log calls people
    tables      the rows; the database itself refuses what separation of duties forbids
    accounts    accounts and the roles granted to them
    sessions    a signed-in person, from the console or a terminal, until it ends

A person is never a client and a client never a person: partner tokens do not reach the console, and people have no
tokens there but read-only ones of their own.
"""
