"""Generate contexts, and documents under them, that are meant to be expensive to process.

They are nested, scoped, repeated, chained, cyclic, imported, protected and reset. `document(seed, number)` returns the
same bytes for the same arguments on every machine. Half of the documents come from SHAPES, each of which is one way to
make a kilobyte cost seconds; the others combine everything at random.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

AS = "https://www.w3.org/ns/activitystreams"
SECURITY = "https://w3id.org/security/v1"
SCHEMA = "http://schema.org"
REGISTERED = [
    AS, AS, AS, SECURITY, SCHEMA, SCHEMA, "https://schema.org/", "https://w3id.org/security/v2",
    "https://w3id.org/identity/v1", "https://w3id.org/security/data-integrity/v1",
    "https://w3id.org/security/data-integrity/v2", "https://w3id.org/security/multikey/v1",
    "https://www.w3.org/ns/did/v1", "https://www.w3.org/ns/cid/v1", "https://litepub.social/litepub/context.jsonld",
    "https://a.example/schemas/litepub-0.1.jsonld", "https://join-lemmy.org/context.json", "https://gotosocial.org/ns",
    "https://funkwhale.audio/ns", "http://joinmastodon.org/ns",
]  # fmt: skip
ADDRESSES = [*REGISTERED, "https://unknown.example/ns", "relative", "", "/../x", "https://b.example/ns#x", "@id"]
WORDS = [
    "id",
    "type",
    "name",
    "content",
    "to",
    "actor",
    "object",
    "tag",
    "url",
    "summary",
    "Note",
    "Create",
    "Hashtag",
    "as",
    "x",
    "proof",
]
KEYWORDS = [
    "@id", "@type", "@value", "@language", "@list", "@set", "@graph", "@index", "@reverse", "@nest", "@included",
    "@none", "@json", "@direction", "@context",
]  # fmt: skip
CONTAINERS = [
    "@list", "@set", "@language", "@index", "@id", "@type", "@graph", ["@graph", "@id"], ["@graph", "@index", "@set"],
    ["@language", "@set"], [], ["@list", "@set"],
]  # fmt: skip
BYTES_MAX = 1_048_576


def document(seed: int, number: int) -> bytes:
    """Return document ``number`` of the run called ``seed``."""
    rng = Random(f"{seed}:{number}")
    if rng.random() < 0.01:  # Nested too deeply for any tree.
        return b'{"@context":' * rng.choice([1, 2_000]) + b'[{"a":' * 2 ** rng.randint(5, 17)
    if rng.random() < 0.5:
        members = rng.choice(list(SHAPES.values()))(rng, size(rng))
    else:
        context = random_context(rng, rng.randint(1, 4))
        members = {"@context": context, **random_members(rng, rng.randint(1, 4))}
        if rng.random() < 0.3:
            members["tag"] = [random_members(rng, 2)] * size(rng)
    document_members = {"id": "https://a.example/1", "type": "Create", "actor": "https://a.example/alice", **members}
    if rng.random() < 0.4:
        document_members = sign(rng, document_members)
    data = json.dumps(document_members, separators=(",", ":")).encode()
    return data if len(data) <= BYTES_MAX else json.dumps({"@context": AS, "too": "long"}).encode()


def size(rng: Random) -> int:
    """Return a random number of elements: mostly few, rarely many."""
    return int(2 ** rng.uniform(0, rng.choices([3, 5, 8, 11], [12, 6, 3, 1])[0]))


def sign(rng: Random, members: dict[str, Any]) -> dict[str, Any]:
    """Add members that look like signatures, so that the document is read as the statements that it makes."""
    if rng.random() < 0.6:
        members["signature"] = {
            "type": "RsaSignature2017",
            "creator": "https://a.example/alice#main-key",
            "created": "2026-01-01T00:00:00Z",
            "signatureValue": "AAAA",
        }
    else:
        suite = rng.choice(["eddsa-rdfc-2022", "eddsa-jcs-2022"])
        proof = {
            "type": "DataIntegrityProof",
            "cryptosuite": suite,
            "verificationMethod": "https://a.example/alice#ed",
            "proofPurpose": "assertionMethod",
            "proofValue": "z" + "2" * 86,
            "created": "2026-01-01T00:00:00Z",
        }
        members["proof"] = [proof] * rng.choice([1, 1, 2, 8])
    return members


# --- shapes ---------------------------------------------------------------------------------------------------------

Shape = Callable[[Random, int], dict[str, Any]]


def chain(rng: Random, n: int) -> dict[str, Any]:
    """Return terms that are defined by one another, in any order."""
    definitions: list[tuple[str, Any]] = [("c0", "https://x.example/")]
    for i in range(1, n + 1):
        iri = f"c{i - 1}:x" if rng.random() < 0.9 else f"c{i - 1}"
        definitions.append(
            (f"c{i}", rng.choice([iri, iri, {"@id": iri, "@prefix": True}, {"@type": f"c{i - 1}:t", "@id": "x:y"}]))
        )
    order = rng.choice(["forth", "back", "shuffled", "cycle"])
    if order == "back":
        definitions.reverse()
    elif order == "shuffled":
        rng.shuffle(definitions)
    elif order == "cycle":
        definitions[0] = ("c0", f"c{n}:x")
    return {"@context": rng.choice([dict(definitions), [AS, dict(definitions)]]), f"c{n}:a": "x", f"c{n}": ["y"]}


def repeated_in_scope(rng: Random, n: int) -> dict[str, Any]:
    """Return a scoped context that names registered contexts many times, entered by many nodes."""
    addresses = [rng.choice(REGISTERED) for _ in range(rng.randint(1, 3))] * rng.choice([1, 3, n])
    scoped: Any = addresses if rng.random() < 0.7 else [{}, *addresses]
    term = {"@id": "https://x.example/T", "@context": scoped}
    nodes: list[Any] = [{"type": "T", "name": "x"}, {"p": {"name": "x", "p": {"name": "y"}}}] * rng.choice(
        [1, n // 4 + 1]
    )
    return {
        "@context": rng.choice([[AS, {"T": term, "p": term}], {"T": term, "p": term, "type": "@type"}]),
        "tag": nodes,
        "@graph": nodes[:2],
    }


def repeated_at_the_top(rng: Random, n: int) -> dict[str, Any]:
    """Return registered contexts, named many times."""
    return {
        "@context": [rng.choice([AS, SCHEMA, rng.choice(ADDRESSES)]) for _ in range(n * rng.choice([1, 8]))][:9_999],
        "name": "x",
    }


def embedded(rng: Random, n: int) -> dict[str, Any]:
    """Return a context at every node, all alike or all different."""
    differ = rng.random() < 0.5
    base = rng.choice([[AS], [AS, SCHEMA], [SCHEMA], [None, AS], [AS, SECURITY]])

    def node(i: int, depth: int) -> dict[str, Any]:
        node_context = [*base, {f"t{i if differ else 0}": "https://x.example/t"}]
        child = {"object": node(i + 1000, depth - 1)} if depth else {}
        return {"@context": node_context, "name": "x", **child}

    return {"@context": base, "tag": [node(i, rng.choice([0, 0, 3, 20])) for i in range(n)]}


def nested_scopes(rng: Random, n: int) -> dict[str, Any]:
    """Return scoped contexts inside scoped contexts, wide or deep."""
    width, depth = rng.choice([(1, min(n, 28)), (2, min(n, 8)), (n % 40 + 1, 2)])

    def scope(level: int) -> dict[str, Any]:
        inner = {"@id": f"https://x.example/{level}", **({"@context": scope(level - 1)} if level else {})}
        return {f"s{i}": inner for i in range(width)}

    node: Any = {"s0": "x"}
    for _ in range(depth):
        node = {"s0": node}
    settings = {"@propagate": rng.random() < 0.5} if rng.random() < 0.3 else {}
    return {
        "@context": [rng.choice([AS, SCHEMA, {}]), {**scope(depth), **settings}],
        "tag": [node] * rng.choice([1, n % 60 + 1]),
    }


def wide_scopes(rng: Random, n: int) -> dict[str, Any]:
    """Return many terms with a scoped context each, over a large context."""
    inner = rng.choice([{}, {"a": "https://x.example/a"}, [], None, rng.choice(REGISTERED), [rng.choice(REGISTERED)]])
    terms = {f"w{i}": {"@id": "https://x.example/w", "@context": inner} for i in range(n)}
    return {"@context": [rng.choice([AS, SCHEMA]), terms], **{f"w{i}": {"name": "x"} for i in range(n)}}


def resets(rng: Random, n: int) -> dict[str, Any]:
    """Return null between contexts, protected or not."""
    part = rng.choice(
        [
            AS,
            SCHEMA,
            {"@protected": True, "t": "https://x.example/t"},
            {"t": {"@id": "x:y", "@protected": rng.random() < 0.5}},
        ]
    )
    term = {"@id": "https://x.example/T", "@context": [None, part] * rng.choice([1, n % 50])}
    return {
        "@context": [part, None, {"T": term, "type": "@type"}] * rng.choice([1, n % 30 + 1]),
        "tag": [{"type": "T"}] * n,
    }


def imports(rng: Random, n: int) -> dict[str, Any]:
    """Return contexts that import others."""
    parts = [
        {"@version": 1.1, "@import": rng.choice(ADDRESSES), f"t{i}": "https://x.example/t"} for i in range(n % 200 + 1)
    ]
    return {
        "@context": rng.choice([parts, [AS, *parts], {"T": {"@id": "x:y", "@context": parts}}]),
        "type": "T",
        "tag": [{"type": "T"}] * (n % 100),
    }


def symmetrical(rng: Random, n: int) -> dict[str, Any]:
    """Return blank nodes that look alike."""
    n = n % 60 + 2
    targets = [[f"_:n{(i + step) % n}" for step in range(1, rng.choice([2, 3, n]))] for i in range(n)]
    nodes = [{"id": f"_:n{i}", "to": targets[i]} for i in range(n)]
    return {"@context": AS, "tag": nodes, "attachment": [{"name": "x"} for _ in range(n)]}


def dense(rng: Random, n: int) -> dict[str, Any]:
    """Return as many values as fit into a number of bytes."""
    values: list[Any] = [rng.choice([1, "", {}, [], True, 1.5, None, "a", {"id": "b"}, {"@value": 1}])] * min(
        n * 8, 10_000
    )
    names = rng.choice([["name"], ["to"], ["x:y"], ["name", "to", "cc", "tag", "url", "as:name"]])
    return {
        "@context": rng.choice(
            [AS, [AS, {"x": "https://x.example/"}], [AS, {"@base": "https://x.example/" + "y/" * 200}]]
        ),
        **dict.fromkeys(names, values),
    }


def double_names(rng: Random, n: int) -> dict[str, Any]:
    """Return many pairs of keys with the same meaning."""
    members = {f"{prefix}:k{i}": "x" for i in range(n * 2) for prefix in ("p", "q")}
    return {
        "@context": [AS, {"p": "https://x.example/#", "q": "https://x.example/#"}],
        **dict(list(members.items())[:9_000]),
    }


def maps(rng: Random, n: int) -> dict[str, Any]:
    """Return language, index, identifier and type maps, nests and graphs."""
    container = rng.choice(CONTAINERS)
    term = {
        "@id": "https://x.example/m",
        "@container": container,
        **rng.choice([{}, {"@nest": "nest"}, {"@index": "x:i"}, {"@type": "@id"}]),
    }
    scoped = {f"k{i}": {"@id": f"https://x.example/k{i}", "@context": {"name": "x:y"}} for i in range(n % 100)}
    value = {f"k{i}": rng.choice(["x", {"name": "x"}, ["x", "y"], {"@id": "z"}]) for i in range(n)}
    return {"@context": [AS, {"m": term, "nest": "@nest", **scoped}], "m": value, "nest": {"m": value}}


def deep(rng: Random, n: int) -> dict[str, Any]:
    """Return values inside values."""
    value: Any = ["x"] * rng.choice([1, n])
    for _ in range(min(n, rng.choice([20, 60, 70, 120]))):
        value = rng.choice(
            [
                lambda v: {"object": v},
                lambda v: [v],
                lambda v: {"@set": v},
                lambda v: {"@list": v},
                lambda v: {"@graph": v},
            ]
        )(value)
    return {"@context": AS, "object": value}


def strings(rng: Random, n: int) -> dict[str, Any]:
    """Return long names and long values."""
    text = rng.choice(["a", "../", "@", ":", "a:", "/.", "é", "_:", "%20", ".", "0"]) * (n * 20)
    return {
        "@context": rng.choice([AS, {"@vocab": text}, [AS, {text: "x:y"}], {"t": text}, {"@base": text}]),
        text: text,
        "name": text,
        "to": [text] * 3,
    }


def unknown_contexts(rng: Random, n: int) -> dict[str, Any]:
    """Return addresses of unknown contexts, in every place."""
    unknown = [f"https://unknown.example/{i}" for i in range(n)]
    scoped = {f"T{i}": {"@id": "https://x.example/T", "@context": url} for i, url in enumerate(unknown)}
    return {
        "@context": rng.choice(
            [[AS, *unknown], [AS, scoped], [AS, {"T": {"@id": "x:y", "@context": unknown}}, {"object": "x:o"}]]
        ),
        "@id": "https://a.example/1",
    }


SHAPES: dict[str, Shape] = {
    shape.__name__: shape
    for shape in (
        chain, repeated_in_scope, repeated_at_the_top, embedded, nested_scopes, wide_scopes, resets, imports,
        symmetrical, dense, double_names, maps, deep, strings, unknown_contexts,
    )
}  # fmt: skip


# --- everything together --------------------------------------------------------------------------------------------


def random_context(rng: Random, depth: int) -> Any:
    """Return any value that may stand under ``@context``, and some that may not."""
    choice = rng.random()
    if choice < 0.2:
        return rng.choice(ADDRESSES)
    if choice < 0.25:
        return rng.choice([None, [], {}, 5, [[AS]], {"@context": AS}])
    if choice < 0.6 and depth > 0:
        parts = [random_context(rng, depth - 1) for _ in range(rng.randint(1, 4))]
        return parts * rng.choice([1, 1, 1, 2, 10])
    names = [f"t{rng.randint(0, 9)}" for _ in range(rng.choice([1, 3, 10, 40]))] + rng.sample(WORDS, 2)
    context = {name: random_definition(rng, depth) for name in names}
    for setting, values in SETTINGS.items():
        if rng.random() < 0.12:
            context[setting] = rng.choice(values)
    if rng.random() < 0.05:
        context["@import"] = rng.choice(ADDRESSES)
    if rng.random() < 0.5:
        context["type"] = "@type"
    return context


SETTINGS: dict[str, list[Any]] = {
    "@vocab": ["https://v.example/", "_:", "", None, "t1:", "relative/"],
    "@base": ["https://b.example/", "../", None, ""],
    "@language": ["en", None, 5],
    "@direction": ["rtl", None],
    "@version": [1.1, 1.0],
    "@protected": [True, False],
    "@propagate": [True, False],
}


def random_iri(rng: Random) -> Any:
    return rng.choice(
        [
            "https://x.example/a",
            "https://x.example/#",
            f"t{rng.randint(0, 9)}:x",
            f"t{rng.randint(0, 9)}",
            "as:name",
            "as:to",
            None,
            rng.choice(KEYWORDS),
            "_:b",
            "",
        ]
    )


def random_definition(rng: Random, depth: int) -> Any:
    if rng.random() < 0.45:
        return random_iri(rng)
    definition: dict[str, Any] = {rng.choice(["@id", "@id", "@id", "@id", "@reverse"]): random_iri(rng)}
    options: list[tuple[str, list[Any]]] = [
        ("@type", ["@id", "@vocab", "@json", "@none", "t1:x", "https://x.example/t"]),
        ("@container", CONTAINERS),
        ("@language", ["de", None]),
        ("@direction", ["ltr", None]),
        ("@nest", ["@nest", "t1"]),
        ("@index", ["t2", "as:name"]),
        ("@prefix", [True, False]),
        ("@protected", [True, False]),
    ]
    for name, values in options:
        if rng.random() < 0.15:
            definition[name] = rng.choice(values)
    if depth > 0 and rng.random() < 0.4:
        definition["@context"] = random_context(rng, depth - 1)
    return definition


def random_members(rng: Random, depth: int) -> dict[str, Any]:
    names = (
        rng.sample([f"t{i}" for i in range(10)], 3) + rng.sample(WORDS, 3) + rng.sample(KEYWORDS, rng.choice([0, 0, 1]))
    )
    members = {name: random_value(rng, depth - 1) for name in names}
    if rng.random() < 0.5:
        members["type"] = rng.choice([f"t{rng.randint(0, 9)}", [f"t{i}" for i in range(5)], "Note"])
    if rng.random() < 0.15:
        members["@context"] = random_context(rng, 2)
    return members


def random_value(rng: Random, depth: int) -> Any:
    choice = rng.random()
    if depth <= 0 or choice < 0.3:
        return rng.choice(["x", "t1:y", "https://x.example/", 1, 1.5, True, None, "", "t3"])
    if choice < 0.5:
        return [random_value(rng, depth - 1) for _ in range(rng.randint(0, 3))] * rng.choice([1, 1, 20])
    if choice < 0.6:
        return {rng.choice(["en", "@none", "t1", "k"]): random_value(rng, depth - 1) for _ in range(3)}
    return random_members(rng, depth)
