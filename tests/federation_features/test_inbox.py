"""Check inboxes: reports of activities that nothing proves."""

import pytest

from apcore import Federation, Node
from apcore.adapters.memory import MemoryStore
from apcore.http import Response
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Activity, Person

HERE = "https://local.example"
BOB = "https://remote.example/users/bob"


class Site:
    """A node with a hook that records its reports, and a peer."""

    def __init__(self):
        self.reports, self.answer, self.activities = [], None, []
        self.network = PeerNetwork()
        self.bob = self.network.peer(BOB)
        federation = Federation()
        federation.actor("/users/{identifier}")(lambda ctx, identifier: Person() if identifier == "alice" else None)
        federation.on(Activity)(lambda ctx, activity: self.activities.append(activity))
        federation.on_unverified(self.on_unverified)
        self.node = Node(federation, HERE, MemoryStore(), transport=self.network, signer=ReusedKeys(), slots=0)

    def on_unverified(self, ctx, report):
        self.reports.append((report.error.reason, report.actor, report.recipient, ctx.request.method))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def deliver(self, *, change=lambda request: request, **members):
        request = self.bob.request(self.bob.activity("Like", object=f"{HERE}/notes/1", **members), f"{HERE}/inbox")
        return self.node.handle(change(request))


def unsigned(request):
    headers = request.headers.without("signature")
    return type(request)(request.method, request.url, headers, request.body)


def test_activity_without_a_signature_is_reported_with_the_reason():
    site = Site()
    assert site.deliver(change=unsigned).status == 401
    assert site.reports == [("signature-missing", BOB, None, "POST")]
    site.node.work(until_idle=True)
    assert site.activities == []


def test_activity_of_another_actor_is_reported_with_the_reason():
    site = Site()
    carol = "https://remote.example/users/carol"
    assert site.deliver(actor=carol).status in {401, 403}
    [(reason, actor, _, _)] = site.reports
    assert actor == carol
    assert reason


def test_activity_with_a_key_that_is_gone_is_reported_with_the_reason():
    site = Site()
    site.bob.serve(BOB, None, status=410)
    assert site.deliver().status == 401
    assert [report[0] for report in site.reports] == ["key-gone"]


def test_proved_activity_is_not_reported():
    site = Site()
    assert site.deliver().status == 202
    assert site.reports == []


def test_hook_for_unproved_activities_may_answer():
    site = Site()
    site.answer = Response(202)
    assert site.deliver(change=unsigned).status == 202
    site.node.work(until_idle=True)
    assert site.activities == []


@pytest.mark.parametrize("answer", [None, ZeroDivisionError(), "not a response"])
def test_hook_for_unproved_activities_that_does_not_answer_changes_nothing(answer):
    site = Site()
    site.answer = answer
    assert site.deliver(change=unsigned).status == 401
