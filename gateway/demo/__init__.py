"""`taipu demo`: three districts exchanging data on one machine, and a check that nothing is lost between them.

    network.py     the homes of three gateways that know each other, their plan, devices and clients
    processes.py   each gateway as a process of its own: start, wait, stop, kill; node.py is what such a process runs
    stations.py    simulated stations: what they are, and what they measure
    feed.py        thirty days of history, then minute packets, through the same door as everybody's
    live.py        the table in the terminal
    workload.py    what the check hands in, and what must be held afterwards
    comparison.py  three stores record by record
    proofs.py      every batch, receipt and log
    check.py       the check itself
    command.py     `run`, which the command line calls

All data are simulated, and say so: in the sites' names and owners, and on the screen.
"""
