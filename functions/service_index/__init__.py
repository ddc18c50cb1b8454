"""Which service an event is about, at any number of services: an index in the table, by the names that events carry.

SSM has the registrations. A row of the index only says where to read: the registration that stands there decides, so a
row that is out of date sends no event astray. A name that the index does not know is looked for in SSM's whole list,
once by each process, and then counts as nobody's for ``lookup.FORGET``. The index follows Parameter Store's events and
the word ``policy``; the sweep compares it with the whole list, so a lost event is made good there.
"""
