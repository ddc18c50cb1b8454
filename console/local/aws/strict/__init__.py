"""What AWS refuses and an emulator would take: every request is judged before it is performed, every list is cut.

``judge`` asks ``model`` (botocore's: required members, lengths, patterns, enums) and ``documented`` (limits and
"required unless" that only AWS's documentation has); ``lists`` cuts and shuffles as AWS may; ``leniencies`` is what is
still let through.
"""
