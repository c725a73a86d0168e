"""A small server of Django ActivityPub Toolkit: one actor, its collections, and a few commands that a test can give it.

    python dat_server.py PORT KEY_FILE CERTIFICATE_FILE DIRECTORY

It runs in an environment of its own, with the toolkit and without apcore. DIRECTORY takes its database. Commands are
POSTs to /control/NAME with a JSON body. In the place of a Celery worker, one thread runs the tasks, each after the commit
that it belongs to.
"""

from __future__ import annotations

import json
import ssl
import sys
import threading
import traceback
from pathlib import Path
from queue import SimpleQueue
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from celery import Celery, Task
from django.conf import settings
from django.db import transaction

PORT, KEY_FILE, CERTIFICATE_FILE, DIRECTORY = sys.argv[1:5]
ORIGIN = f"https://localhost:{PORT}"

settings.configure(
    SECRET_KEY="for tests on this machine alone",
    ALLOWED_HOSTS=["localhost"],
    USE_TZ=True,
    ROOT_URLCONF=__name__,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(Path(DIRECTORY) / "dat.db"),
            # Nothing has to survive: tables made at once instead of by sixty migrations, and no waiting for the disk.
            "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA synchronous=OFF;"},
        }
    },
    # It says how long each answer is; one that only ends with its connection could have been cut by anybody.
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    APPEND_SLASH=False,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "activitypub.core"],
    MIGRATION_MODULES=dict.fromkeys(("activitypub", "auth", "contenttypes")),
    FEDERATION={"DEFAULT_URL": ORIGIN, "SOFTWARE_NAME": "dat", "SOFTWARE_VERSION": "0.2.0"},
)
TASKS: SimpleQueue[tuple[Task, tuple[Any, ...], dict[str, Any]]] = SimpleQueue()


class CommittedTask(Task):
    """A task that is handed to the thread once the transaction that asks for it has ended."""

    abstract = True

    def apply_async(self, args=None, kwargs=None, **_options):
        transaction.on_commit(lambda: TASKS.put((self, tuple(args or ()), dict(kwargs or {}))))

    def delay_on_commit(self, *args, **kwargs):
        self.apply_async(args, kwargs)


def run_tasks() -> None:
    while True:
        task, args, kwargs = TASKS.get()
        try:
            task(*args, **kwargs)
        except Exception:
            traceback.print_exc()


celery = Celery("dat", task_cls=CommittedTask)
celery.set_default()
django.setup()

from activitypub.core.models import (  # noqa: E402 - Django has to be set up before its models
    Activity,
    ActivityContext,
    Actor,
    ActorContext,
    CollectionContext,
    CollectionPageContext,
    Domain,
    Identity,
    LinkedDataDocument,
    Notification,
    ObjectContext,
    Reference,
    SecV1Context,
)
from activitypub.core.models.ap import ActivityPubServer, FollowRequest  # noqa: E402
from activitypub.core.tasks import post_activity, webfinger_lookup  # noqa: E402
from activitypub.core.views import ActivityPubObjectDetailView  # noqa: E402
from activitypub.core.views.discovery import HostMeta, NodeInfo, NodeInfo20, NodeInfo21, Webfinger  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import JsonResponse  # noqa: E402
from django.urls import path, re_path  # noqa: E402
from django.utils import timezone  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402

PUBLIC = "https://www.w3.org/ns/activitystreams#Public"
PAGE_SIZE = 2


def make_actor() -> Actor:
    """Make the one actor, with its keys and collections."""
    CollectionPageContext.PAGE_SIZE = PAGE_SIZE
    domain = Domain.get_default()
    uri = f"{ORIGIN}/users/dat"
    ordered = CollectionContext.Types.ORDERED
    collections = {name: Reference.make(f"{uri}/{name}") for name in ("inbox", "outbox", "followers", "following")}
    for reference in collections.values():
        CollectionContext.make(reference, type=ordered)
    context = ActorContext.make(
        reference=Reference.make(uri),
        type=ActorContext.Types.PERSON,
        preferred_username="dat",
        name="Dat",
        **collections,
    )
    SecV1Context.generate_keypair(context.reference)
    user = get_user_model().objects.create(username="dat")
    Identity.objects.create(user=user, actor=context, is_primary=True)
    server, _ = ActivityPubServer.objects.get_or_create(domain=domain)
    server.actor = Actor.objects.get(reference=context.reference)
    server.save()
    return server.actor


def actor() -> Actor:
    return Actor.objects.get(reference__uri=f"{ORIGIN}/users/dat")


def make_activity(kind: str, object_: Reference, *, to: tuple[str, ...] = (), cc: tuple[str, ...] = ()) -> Activity:
    context = ActivityContext.make(
        reference=ActivityContext.generate_reference(Domain.get_default()),
        type=kind,
        actor=actor().reference,
        object=object_,
        published=timezone.now(),
    )
    for uri in to:
        context.to.add(Reference.make(uri))
    for uri in cc:
        context.cc.add(Reference.make(uri))
    return Activity.objects.get(reference=context.reference)


def send_to(activity: Activity, inbox: Reference) -> dict[str, Any]:
    Notification.objects.create(resource=activity.reference, sender=actor().reference, target=inbox)
    return {"id": activity.reference.uri}


# --- commands -------------------------------------------------------------------------------------------------------


def resolve(uri: str) -> dict[str, Any]:
    """Read the actor at ``uri``."""
    reference = Reference.make(uri)
    reference.resolve(force=True)
    known = ActorContext.objects.filter(reference__uri=uri).first()
    return {
        "status": reference.status,
        "name": known and known.preferred_username,
        "inbox": known and known.inbox and known.inbox.uri,
    }


def lookup(handle: str) -> dict[str, Any]:
    """Find the actor of a handle."""
    webfinger_lookup(handle)
    return {
        "known": list(
            ActorContext.objects.exclude(reference__domain__local=True).values_list("reference__uri", flat=True)
        )
    }


def object_at(uri: str) -> dict[str, Any]:
    """Read the object at ``uri``."""
    reference = Reference.make(uri)
    reference.resolve(force=True)
    known = ObjectContext.objects.filter(reference__uri=uri).first()
    return {"status": reference.status, "content": known and known.content}


def collection_at(uri: str) -> dict[str, Any]:
    """Read the collection at ``uri``, and as many items of it as the toolkit takes in."""
    reference = Reference.make(uri)
    reference.resolve(force=True)
    document = LinkedDataDocument.objects.filter(reference=reference).first()
    known = CollectionContext.objects.filter(reference=reference).first()
    return {
        "status": reference.status,
        "document": document and document.data,
        "items": [entry.item.uri for entry in known.items] if known else None,
    }


def follow(uri: str) -> dict[str, Any]:
    """Follow an actor."""
    activity = ActivityContext.generate_reference(Domain.get_default())
    FollowRequest.objects.create(follower=actor().reference, followed=Reference.make(uri), activity=activity)
    return {"id": activity.uri}


def unfollow(uri: str) -> dict[str, Any]:
    """Take the Follow back."""
    request = FollowRequest.objects.get(follower=actor().reference, followed__uri=uri)
    inbox = ActorContext.objects.get(reference__uri=uri).inbox
    return send_to(make_activity(ActivityContext.Types.UNDO, request.activity), inbox)


def post(content: str) -> dict[str, Any]:
    """Publish a note to everyone and the followers."""
    reference = ObjectContext.generate_reference(Domain.get_default())
    note = ObjectContext.make(reference=reference, type=ObjectContext.Types.NOTE, content=content)
    note.attributed_to.add(actor().reference)
    note.to.add(Reference.make(PUBLIC))
    create = make_activity(ActivityContext.Types.CREATE, reference, to=(PUBLIC,), cc=(actor().followers.uri,))
    before = Notification.objects.count()
    post_activity(create.reference.uri)
    return {"id": create.reference.uri, "object": reference.uri, "deliveries": Notification.objects.count() - before}


def like(uri: str, inbox: str) -> dict[str, Any]:
    """Like an object."""
    return send_to(make_activity(ActivityContext.Types.LIKE, Reference.make(uri)), Reference.make(inbox))


def heard() -> dict[str, Any]:
    """Tell which activities came, whether their signatures held, and who follows."""
    came = Notification.objects.exclude(sender__domain__local=True)
    documents = {entry.reference_id: entry.data for entry in LinkedDataDocument.objects.all()}
    return {
        "heard": [
            {
                "actor": entry.sender.uri,
                "type": documents.get(entry.resource_id, {}).get("type"),
                "verified": bool(entry.verified),
                "results": [result.result for result in entry.results.all()],
            }
            for entry in came
        ],
        "followers": [entry.item.uri for entry in CollectionContext.objects.get(reference=actor().followers).items],
        "following": [entry.item.uri for entry in CollectionContext.objects.get(reference=actor().following).items],
    }


COMMANDS = {
    command.__name__: command
    for command in (resolve, lookup, object_at, collection_at, follow, unfollow, post, like, heard)
}


@csrf_exempt
def control(request, name):
    try:
        return JsonResponse(COMMANDS[name](**json.loads(request.body or b"{}")))
    except Exception:
        return JsonResponse({"error": traceback.format_exc()}, status=500)


urlpatterns = [
    path("control/<name>", control),
    path(".well-known/webfinger", Webfinger.as_view()),
    path(".well-known/host-meta", HostMeta.as_view()),
    path(".well-known/nodeinfo", NodeInfo.as_view()),
    path("nodeinfo/2.0", NodeInfo20.as_view()),
    path("nodeinfo/2.1", NodeInfo21.as_view()),
    re_path("^.*$", ActivityPubObjectDetailView.as_view()),
]


class ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class TlsHandler(WSGIRequestHandler):
    """Tell Django that requests came by TLS."""

    def get_environ(self):
        return {**super().get_environ(), "HTTPS": "on", "wsgi.url_scheme": "https"}


def main() -> None:
    call_command("migrate", run_syncdb=True, verbosity=0)
    make_actor()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE_FILE, KEY_FILE)
    with make_server("127.0.0.1", int(PORT), get_wsgi_application(), ThreadingServer, TlsHandler) as server:
        threading.Thread(target=run_tasks, daemon=True).start()
        server.socket = context.wrap_socket(server.socket, server_side=True)
        print("listening", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
