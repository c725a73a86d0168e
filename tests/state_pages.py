"""Write the reference pages of state machines and side effects from their tables. Run this file to write all anew."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from apcore.federation.actors.generations import (
    GENERATION_TRANSITIONS,
    GenerationAction,
    GenerationEvent,
    GenerationState,
)
from apcore.federation.inbox.states import CLAIM_TRANSITIONS, ClaimAction, ClaimEvent, ClaimState
from apcore.federation.outbox.circuit_states import CIRCUIT_TRANSITIONS, CircuitAction, CircuitEvent, CircuitState
from apcore.federation.outbox.delivery_states import (
    DELIVERY_TRANSITIONS,
    DeliveryAction,
    DeliveryEvent,
    DeliveryState,
)
from apcore.federation.relations.table import TRANSITIONS, RelationAction, RelationEvent, RelationState
from apcore.federation.side_effect_rules import RECEIVED_RULES, SENT_RULES, SideEffectRule

PAGES = Path(__file__).parents[1] / "docs" / "reference"

INTRODUCTIONS = {
    "received-activities": """# States of a received activity

Here you can look up what happens to an activity at one of your inboxes, from its delivery to its end, and what apcore
does at each step. You need this page when you read your database or the log, or test repeated deliveries.

A worker that ends in the middle of an attempt has committed nothing, so the activity is then still pending.
""",
    "deliveries": """# States of a delivery

Here you can look up what happens to a delivery: one activity for one inbox, from its planning to its end. You need this
page when you read your database or the log. Deliveries to one inbox about one object are a line, and keep their order.
For the reasons behind the table, see [how a delivery is decided](../explanation/delivery.md).
""",
    "circuits": """# States of a circuit

Here you can look up when apcore asks the host of a peer, and when it waits. One circuit stands for all deliveries to an
origin. Deliveries to inboxes on another origin than their actors are *aimed* at it, and have a circuit of their own.
For the reasons behind the table, see [how a delivery is decided](../explanation/delivery.md).
""",
    "key-generations": """# States of a generation of keys

Here you can look up what happens to the keys of an actor, from the time at which they are made until the signer has
dropped them. The two keys that are made together, RSA and Ed25519, are a generation. You need this page when you read
your database, or write a signer.
""",
    "follow-relations": """# States of a follow relation

Here you can look up how a follow relation changes by each activity that is sent or received. The same table holds on
both servers: for actors that follow yours, and for those that yours follow.
""",
    "side-effects": """# Side effects of activities

Here you can look up what apcore changes by itself because of an activity, and how you change that. The side effect of a
received activity needs its proved actor, and comes before your listener. It is committed together with the writes of
your listener. The side effect of an activity that you send is in the commit that sends it.

Replace a row by a handler of your own, or switch it off:

```python
from apcore import Federation

federation = Federation(software="hello/1.0")


@federation.side_effect("accept")
def accepted(ctx, accept):
    ctx.append(f"{ctx.origin}/accepted", accept.actor.uri)


@federation.side_effect("sent-announce")
def boosted(ctx, announce):
    ctx.append(f"{ctx.origin}/boosts", announce.object.uri)


federation.switch_off("add", "remove", "sent-like")
```

Your listeners get the activities in any case, except a Move that its target does not confirm. `on(Activity)` gets all
types that have no listener of their own, unknown ones too. If an activity may not change what it names, nothing
changes. One line in the log of `apcore.inbox` says why: `no effect of Like ID by ACTOR on OBJECT: object-not-visible`.

Think twice before you switch `undo`, `block` or `delete` off: an actor that leaves then stays among your followers, and
gets posts that are for followers only. With `move` switched off, your listener gets every Move, and checks itself
whether the target agrees (`apcore.remote.is_move_confirmed`).

Published objects have the collections `likes`, `shares`, `replies` and `context`, and actors have `liked`. They list
what is public, for everyone who may see the object. The [how-to](../howto/likes-and-replies.md) shows how you read
them. Without its row, an object has no such collection.

This page is generated from `apcore.federation.side_effect_rules`. The first matching row counts.
""",
}


def page_path(name: str) -> Path:
    return PAGES / f"{name}.md"


def machine_page(
    name: str,
    states: type[Enum],
    events: type[Enum],
    table: Mapping[tuple[Any, Any], Any],
    actions: type[Enum],
) -> str:
    """Return the page of one machine: its states, events, actions, and a table of transitions by event."""
    return "\n".join(
        [
            INTRODUCTIONS[name],
            f"This page is generated from `{states.__module__}`.",
            "",
            *(_members("States", states)),
            *(_members("Events", events)),
            *(_members("Actions", actions)),
            "## Transitions",
            "",
            "Each cell shows the next state and the actions. An empty cell is a pair that cannot happen.",
            "",
            "| event | " + " | ".join(_label(state) for state in states) + " |",
            "|---" * (len(states) + 1) + "|",
            *(
                f"| {_label(event)} | " + " | ".join(_cell(table.get((state, event))) for state in states) + " |"
                for event in events
            ),
            "",
        ]
    )


def side_effects_page() -> str:
    """Return the page of side effects, with one row for each type of activity, received and sent."""
    return "\n".join(
        [
            INTRODUCTIONS["side-effects"],
            *_rules_table("Received", RECEIVED_RULES, told=True),
            *_rules_table("Sent", SENT_RULES, told=False),
        ]
    )


def _rules_table(title: str, rules: Sequence[SideEffectRule], *, told: bool) -> list[str]:
    names = ["name", "activity", "allowed for", "changes", *(["your listener"] if told else [])]
    rows = [
        [
            f"`{rule.name}`",
            rule.label,
            rule.condition,
            rule.change or "nothing",
            *([f"`on({rule.activity.__name__})`"] if told else []),
        ]
        for rule in rules
    ]
    lines = [names, ["---"] * len(names), *rows]
    return [f"## {title}", "", *(f"| {' | '.join(cells)} |" for cells in lines), ""]


def _label(member: Enum) -> str:
    return member.value if isinstance(member.value, str) else member.name.lower().replace("_", " ")


def _cell(change: Any) -> str:
    if change is None:
        return ""
    actions = ", ".join(_label(action) for action in change.actions)
    return f"**{_label(change.state)}**" + (f": {actions}" if actions else "")


def _members(title: str, kind: type[Enum]) -> list[str]:
    meanings = _docstrings(kind)
    rows = [f"| {_label(member)} | {meanings.get(member.name, '')} |" for member in kind]
    return [f"## {title}", "", "| name | meaning |", "|---|---|", *rows, ""]


def _docstrings(kind: type[Enum]) -> dict[str, str]:
    """Return the text below each member of an enumeration."""
    [definition] = ast.parse(inspect.getsource(kind)).body
    assert isinstance(definition, ast.ClassDef)
    texts: dict[str, str] = {}
    for statement, following in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(statement, ast.Assign) and isinstance(following, ast.Expr):
            assert isinstance(following.value, ast.Constant)
            texts[ast.unparse(statement.targets[0])] = " ".join(str(following.value.value).split())
    return texts


def all_pages() -> dict[str, str]:
    """Return the text of each page by its name."""
    return {
        "received-activities": machine_page(
            "received-activities", ClaimState, ClaimEvent, CLAIM_TRANSITIONS, ClaimAction
        ),
        "side-effects": side_effects_page(),
        "deliveries": machine_page("deliveries", DeliveryState, DeliveryEvent, DELIVERY_TRANSITIONS, DeliveryAction),
        "circuits": machine_page("circuits", CircuitState, CircuitEvent, CIRCUIT_TRANSITIONS, CircuitAction),
        "key-generations": machine_page(
            "key-generations", GenerationState, GenerationEvent, GENERATION_TRANSITIONS, GenerationAction
        ),
        "follow-relations": machine_page("follow-relations", RelationState, RelationEvent, TRANSITIONS, RelationAction),
    }


if __name__ == "__main__":
    for page_name, text in all_pages().items():
        page_path(page_name).write_text(text, encoding="utf-8")
