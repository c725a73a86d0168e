"""List the rows of the description of pull, and the acceptance tests, with the place where each is tested.

A row is tested by functions called ``test_row_NN_...``, or by a module of that name. An acceptance test is called
``test_acceptance_NN_...``; those that are not about pull are named with the module that has them.
"""

from __future__ import annotations

ROWS = {
    1: "push and pull, independent of each other",
    2: "a reference is a pointer, usable without fetching",
    3: "resolve fetches from the authoritative source",
    4: "the state of a reference tells its freshness",
    5: "later access comes from the cache, and is revalidated",
    6: "typed views over one resource",
    7: "several vocabularies on one resource",
    8: "decide now, later or never; many at once",
    9: "the inbox is kept for mentions, follows and replies",
    10: "a notification is authenticated",
    11: "authorisation comes before processing",
    12: "duplicates and retries",
    13: "the outbox is served with its pages",
    14: "membership of a collection is a record",
    15: "collections are polled and paged",
    16: "new items of a collection are identified by time",
    17: "ETags and conditional requests",
    18: "the time of an update tells of changes",
    19: "references that are due are listed and refreshed",
    20: "cached data is shown while it is refreshed",
    21: "local references need no resolution",
    22: "stable URIs, and everything can be fetched",
    23: "many applications over one graph, with views of their own",
    24: "push what matters, and pull the rest",
    25: "account, data and presentation are separate",
    26: "access after the push, for clients that were not online",
    27: "the author decides about the cache",
}

ACCEPTANCE = {
    1: "tests/federation/test_authenticate.py",
    2: "tests/federation/test_authenticate.py",
    3: "tests/federation/test_authenticate.py",
    4: "tests/signatures/test_cavage.py",
    5: "tests/signatures/test_cavage.py",
    6: "tests/federation/test_inbox.py",
    8: "tests/federation/test_changed_documents.py",
    9: "tests/federation/test_side_effect_table.py",
    10: "tests/collections/test_traversal.py",
    13: "tests/federation/test_replay.py",
    14: "tests/federation/test_validation.py",
    16: "tests/remote/test_contexts.py",
    17: "tests/federation/test_well_known.py",
    18: "tests/federation/test_addressing.py",
    19: "tests/federation/test_delivery.py",
}
"""The modules of the acceptance tests that are not about pull."""

ACCEPTANCE_OF_PULL = {7, 11, 12, 15, 20, 21}
