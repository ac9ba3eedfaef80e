"""The listener for HJ 212 data loggers: bytes from TCP connections, through the one door, and answers after the commit.

    connection   one logger's connection: packets out of its bytes, who may send them, answers back
    admission    whether a packet may be taken, from its MN, its PW and where it came from
    intake       packets of all connections, gathered into one submission a commit
    strangers    devices that nobody registered: listed, their packets kept within bounds
    requests     a request to a logger for its history: the row, and its steps as the standard has them
    asking       which connection speaks for which device, and what it is asked
    listener     all of these put together, beside the service or alone
    figures      what the listener counts, written down for whoever asks

A packet is answered (9014, 9013) once the submission that holds it is committed, never before: an answer is what lets
a logger forget. What was not answered is sent again, so every step may be repeated without harm.
"""
