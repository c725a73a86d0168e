"""Serve one actor as a complete federated server: run it with `uvicorn hello:app`."""

from apcore import Federation
from apcore.adapters.asgi import asgi_app
from apcore.vocab import Create, Note, Person

federation = Federation(software="hello/1.0")


@federation.actor("/users/{identifier}")
def actor(ctx, identifier):
    if identifier == "alice":
        return Person(preferred_username="alice", name="Alice", summary="A friendly person.")
    return None


@federation.on(Create)
def created(ctx, activity):
    note = ctx.resolve(activity.object).view(Note)  # embedded in the proved activity, so no request is made
    print(activity.actor.uri, note.content)


app = asgi_app(federation, "https://hello.example", "sqlite:///hello.db")
