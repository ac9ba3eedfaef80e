"""How a shared-data plan comes into force, lapses and is left: by acts that the parties publish to each other.

    acts.py          what this gateway does: propose, sign (two persons), complete, lapse, withdraw, dispose
    proposals.py     what a version must keep to be proposed: asked by its proposer and by everybody who receives it
    receiving.py     a partner's acts: refused whole where they are not what they claim, and what they bring about
    deciding.py      in force or lapsed: a pure conclusion from what was published by when, taken once
    leaving.py       a withdrawal to its end: cases closed, last reconciliation, disposal
    standing.py      how every version stands, for people

A version is in force because all parties signed it and its proposer published that in time, or because two persons of
this gateway recorded that it was agreed outside the program. Nothing else brings one into force.
"""
