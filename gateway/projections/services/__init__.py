"""The normalised services: one shape whatever brought it, projected from the journal.

A service is a declaration (``service.Service``): which events, what they are about, which fields, which
filters; ``registry`` lists them. ``taking`` → ``fold`` → ``file`` make of the events what is shown,
``snapshots`` keep it beyond the journal's retention, ``projection`` runs it all.
"""
