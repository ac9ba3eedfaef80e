"""The shared language of the districts: records, batches, plans, codes. No I/O, no other package of ours."""
