"""List the items of the ActivityPub checklist, and check that each applicable one has a test or a reason.

The items follow the W3C Recommendation of 2018 with its errata. M stands for MUST, S for SHOULD, O for MAY.
"""

from __future__ import annotations

import re
from pathlib import Path

APPLICABLE_COUNT = 57
ITEMS = range(1, 59)
NOT_APPLICABLE = {39: "6.12: media upload is an extension outside the Recommendation."}
# Items that the application has to meet, each with the reason.
OF_THE_APPLICATION = {
    16: "5.2: a server with apcore always federates; only a server without inboxes answers 405 to a POST.",
    27: "6.1: collecting the addresses of a reply is the client's task; apcore delivers to those it names.",
}


def numbers_in_test_names() -> set[int]:
    """Return the numbers in the names of the tests."""
    sources = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")]
    return {int(number) for source in sources for number in re.findall(r"def test_item_(\d\d)_", source)}


def test_each_applicable_item_has_a_test_or_a_reason() -> None:
    tested = numbers_in_test_names()
    assert tested.isdisjoint({*OF_THE_APPLICATION, *NOT_APPLICABLE})
    assert tested | {*OF_THE_APPLICATION, *NOT_APPLICABLE} == set(ITEMS)
    assert len(tested) + len(OF_THE_APPLICATION) == APPLICABLE_COUNT
    assert all(reason.endswith(".") for reason in (*OF_THE_APPLICATION.values(), *NOT_APPLICABLE.values()))
