"""Compare the tables with PyLD on mutated documents, and hold the work budget on expensive ones.

    python tests/jsonld/fuzz.py [--documents 200000] [--seed 1] [--keep-going] [--classify]

Each document comes from the corpus: the payloads and the inputs of the W3C's suite, or, without vectors, some of ours.
It is mutated one to six times, and expanded by the tables and by PyLD. Both compact the result, to one of our contexts
or to its own. A document that the tables leave to PyLD proves nothing, and is counted separately. Document n of seed s
is the same on every machine.

A difference is printed with its document, and the exit status is 1.

    python tests/jsonld/fuzz.py --work [--documents 1000000] [--seed 1]

With ``--work``, the documents come from `context_grammar`. Each is read as an inbox does before authentication. A
document that exceeds the CPU time of `cpu_budget`, or raises an error without a type, is printed, and the exit status
is 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections import Counter
from copy import deepcopy
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pyld import ContextResolver, jsonld

import context_grammar
import cpu_budget
from apcore.errors import ApcoreError, LimitExceeded
from apcore.jsonld import BUNDLED, DEFAULT_LIMITS, ContextNeeded, WorkBudget
from apcore.jsonld.compaction import Compactor
from apcore.jsonld.compiler import compiler_of
from apcore.jsonld.expansion import Expander
from apcore.jsonld.terms import NotCovered
from vector_files import VECTORS

AS = "https://www.w3.org/ns/activitystreams"
SECURITY = "https://w3id.org/security/v1"
DATA_INTEGRITY = "https://w3id.org/security/data-integrity/v1"
TERMS = {
    "toot": "http://joinmastodon.org/ns#",
    "Emoji": "toot:Emoji",
    "focalPoint": {"@id": "toot:focalPoint", "@container": "@list"},
    "featured": {"@id": "toot:featured", "@type": "@id"},
    "sensitive": "as:sensitive",
    "Hashtag": "as:Hashtag",
    "schema": "http://schema.org#",
    "PropertyValue": "schema:PropertyValue",
    "value": "schema:value",
}
TARGETS: list[Any] = [
    AS,
    [AS, SECURITY, TERMS],
    [AS, SECURITY, DATA_INTEGRITY, "https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1", TERMS],
    [AS, {"@language": "en"}],
    [
        AS,
        {
            "nameSet": {"@id": "as:name", "@container": "@set"},
            "kind": {"@id": "as:rel", "@type": "@vocab"},
            "@vocab": f"{AS}#",
        },
    ],
    {"@vocab": f"{AS}#"},
    "https://join-lemmy.org/context.json",
    "https://a.example/schemas/litepub-0.1.jsonld",
    {},
]
TABLE = BUNDLED.ignoring("https://puckipedia.com/-/context", "https://unknown.example/ns")

OWN_CORPUS: list[Any] = [
    {
        "@context": [AS, SECURITY, TERMS],
        "id": "https://a.example/1#create",
        "type": "Create",
        "actor": "https://a.example/alice",
        "to": [f"{AS}#Public"],
        "object": {
            "id": "https://a.example/1",
            "type": "Note",
            "content": "<p>hi</p>",
            "contentMap": {"en": "<p>hi</p>"},
            "attachment": [{"type": "Image", "url": "https://a.example/i.png", "focalPoint": [0.0, 1]}],
            "tag": [{"type": "Hashtag", "name": "#x", "href": "https://a.example/tags/x"}],
        },
    },
    {
        "@context": [AS, "https://w3id.org/security/data-integrity/v2"],
        "id": "https://a.example/2",
        "type": "Note",
        "proof": {
            "type": "DataIntegrityProof",
            "cryptosuite": "eddsa-jcs-2022",
            "proofPurpose": "assertionMethod",
            "verificationMethod": "https://a.example/alice#key",
            "proofValue": "z1",
            "created": "2024-01-01T00:00:00Z",
        },
    },
]

KEYS = [
    "@id", "id", "@type", "type", "@value", "@language", "@list", "@set", "@graph", "@index", "@reverse", "@context",
    "@none", "@json", "@included", "@nest", "@foo", "@", "", "name", "as:name", f"{AS}#name", "nameMap", "content",
    "contentMap", "to", "as:to", "items", "orderedItems", "actor", "object", "tag", "published", "summary",
    "totalItems", "width", "url", "href", "publicKey", "owner", "proof", "proofPurpose", "Multikey",
    "DataIntegrityProof", "created", "service", "focalPoint", "sensitive", "toot:Emoji", "unknown", "en",
    "http://x.example/p", "x:y", "a b", "_:b", "as:", ":x", "https://x.example/p q", "Public", "as", "xsd", "und",
    "EN", "self", "kind", "a/b", "as:x/y", "p\n", "é", "relationship", "location", "@base", "@protected",
]  # fmt: skip
WORDS = [
    "name", "content", "contentMap", "nameMap", "to", "cc", "actor", "object", "tag", "attachment", "url", "href",
    "icon", "published", "summary", "totalItems", "items", "orderedItems", "first", "publicKey", "owner", "sensitive",
    "focalPoint", "featured", "endpoints", "sharedInbox", "unknown", "as:name", "as:to", f"{AS}#name", f"{AS}#to",
    "toot:Emoji", "_misskey_quote", "proof", "proofPurpose", "verificationMethod", "assertionMethod", "service",
    "publicKeyMultibase", "controller", "http://x.example/p", "inReplyTo", "location",
]  # fmt: skip
NAMES: list[Any] = [
    "Note", "Person", "Multikey", "DataIntegrityProof", "as:Note", "x:y", "https://x.example/", "relative", "_:b0",
    "Public", "Hashtag", f"{AS}#Note",
]  # fmt: skip
PLAIN: list[Any] = [
    None, True, 0, 1.5, "", "x", "https://x.example/", "http://x.example/a#b", "as:Note", "as:Public", "_:b0",
    "relative", "Note", "Person", "DataIntegrityProof", "Multikey", "assertionMethod", "2024-01-01T00:00:00Z",
    f"{AS}#Public", f"{AS}#Note", "mailto:a@b.example",
]  # fmt: skip
SCALARS: list[Any] = [
    None, True, False, 0, 1, -1, 1.0, 1.5, 2**53, 10**310, 1e300, "", "x", "en", "https://x.example/",
    "http://x.example/a#b", "as:Note", "as:Public", "_:b0", "@id", "@type", "@foo", "@none", "relative", "/path",
    "a:b", "mailto:a@b.example", "https://a b/", "Note", "Person", "DataIntegrityProof", "Multikey", "assertionMethod",
    "2024-01-01T00:00:00Z", "#frag", "did:key:z6Mk", "toot:x", "EN-us", f"{AS}#Public", f"{AS}#Note",
    "http://joinmastodon.org/ns#x", "_:", ":", "a\nb", "en_us",
]  # fmt: skip
DEFINITIONS: list[Any] = [
    None, "as:name", "https://t.example/ns#", "https://t.example/x", "@id", "@type", "@value", "@language", "@graph",
    "@none", "toot:x", "@list", "x:y", "relative", "", "@foo", "_:x", 5, True, [], {},
    {"@id": "as:to", "@type": "@id"}, {"@type": "@id"}, {"@id": "as:name", "@container": "@language"},
    {"@id": "as:items", "@container": "@list"}, {"@id": "as:tag", "@container": "@set"},
    {"@id": "as:rel", "@type": "@vocab"}, {"@id": "as:content", "@language": "de"},
    {"@id": "as:content", "@language": None}, {"@id": "as:source", "@type": "@json"},
    {"@id": "as:x", "@type": "xsd:integer"}, {"@id": "as:x", "@type": "@none"}, {"@reverse": "as:to", "@type": "@id"},
    {"@id": "as:x", "@container": "@index"}, {"@id": "as:x", "@container": ["@graph", "@id"]},
    {"@id": "as:x", "@container": "@graph"}, {"@id": "as:x", "@nest": "@nest"},
    {"@id": "https://t.example/", "@prefix": True},
    {"@id": "as:Note", "@context": {"name": "https://scoped.example/name", "content": None}},
    {"@id": "as:tag", "@context": {"name": "https://scoped.example/tagname", "@vocab": "https://v.example/"}},
    {
        "@id": "as:object", "@type": "@id",
        "@context": [{"type": "@type"}, {"summary": {"@id": "as:name", "@protected": True}}],
    },
    {
        "@id": "as:attachment",
        "@context": {"Image": {"@id": "as:Image", "@context": {"url": "https://deep.example/url"}}},
    },
    {"@id": "as:name", "@protected": True}, {"@id": "@type", "@container": "@set"},
    {"@id": "as:x", "@container": ["@set", "@language"]}, {"@id": "as:x", "@direction": "rtl"},
    {"@id": "as:x", "@type": "@id", "@container": ["@set"]}, {"@id": "as:x", "@context": None},
]  # fmt: skip
DEFINITIONS_IN_USE: list[Any] = [
    part for part in DEFINITIONS if isinstance(part, dict) and str(part.get("@id", "x")).startswith("as:")
]
SETTINGS: list[tuple[str, Any]] = [
    ("@vocab", "https://v.example/"), ("@vocab", None), ("@vocab", "_:"), ("@vocab", ""), ("@vocab", "as:"),
    ("@language", "en"), ("@language", None), ("@language", "EN"), ("@base", "https://base.example/"),
    ("@version", 1.1), ("@version", 1), ("@protected", True), ("@protected", False), ("@propagate", False),
    ("@direction", "rtl"), ("@language", 5),
]  # fmt: skip
CONTEXTS: list[Any] = [
    None, [], {}, AS, SECURITY, [AS], [AS, SECURITY], [None, AS], [AS, None], {"@context": AS}, 5, "relative",
    "https://unknown.example/ns", [AS, DATA_INTEGRITY], ["https://w3id.org/security/data-integrity/v2", AS],
    [AS, "https://www.w3.org/ns/did/v1"], "https://gotosocial.org/ns", "https://w3id.org/security/multikey/v1",
    [AS, TERMS],  [[AS]], False, "https://w3id.org/security/v2", "https://w3id.org/identity/v1",
    "https://w3id.org/security/suites/ed25519-2020/v1",
]  # fmt: skip


@cache
def corpus() -> tuple[list[str], list[str]]:
    """Return recorded documents, and invented ones of suites and proposals, both as JSON texts."""
    real = [*OWN_CORPUS, *_documents("payloads/*/*.json")]
    examples = VECTORS / "fep-examples" / "examples.json"
    made_up = [*OWN_CORPUS, *_documents("json-ld-api/*/*-in.jsonld"), *_documents("as2/*.json")]
    if examples.is_file():
        made_up += [example["document"] for example in json.loads(examples.read_text(encoding="utf-8"))["examples"]]
    return _texts(real), _texts(made_up)


def _documents(pattern: str) -> list[Any]:
    documents = []
    for path in sorted(VECTORS.glob(pattern)):
        try:
            documents.append(json.loads(path.read_text(encoding="utf-8")))
        except ValueError:
            continue  # The file is deliberately broken.
    return documents


def _texts(documents: list[Any]) -> list[str]:
    return [json.dumps(document) for document in documents if isinstance(document, dict)]


def document(seed: int, number: int) -> Any:
    """Return document ``number`` of the run called ``seed``."""
    rng = Random(f"{seed}:{number}")
    real, made_up = corpus()
    mutated_document = json.loads(rng.choice(real if rng.random() < 0.8 else made_up))
    for _ in range(rng.randint(1, 4)):
        mutate(mutated_document, rng)
    return mutated_document


def mutate(mutated_document: Any, rng: Random) -> None:
    places = list(json_objects(mutated_document))
    place = rng.choice(places)
    if rng.random() < 0.2:
        mutate_context(place if rng.random() < 0.3 else mutated_document, rng)
        return
    keys = [key for key in place if key != "@context"]
    new_key = rng.choice(KEYS if rng.random() < 0.4 else WORDS)
    choice = rng.random()
    if choice < 0.2 or not keys:
        place[new_key] = value(rng)
    elif choice < 0.3:
        del place[rng.choice(keys)]
    elif choice < 0.45:
        place[new_key] = place.pop(rng.choice(keys))
    elif choice < 0.65:
        key = rng.choice(keys)
        # Most values of these members are errors, and an error ends the document.
        place[key] = rng.choice(NAMES) if key in ("id", "type", "@id", "@type") and rng.random() < 0.9 else value(rng)
    elif choice < 0.75:
        key = rng.choice(keys)
        place[key] = rng.choice(
            [[place[key]], [place[key], value(rng)], [[place[key]], None], [place[key], place[key]], place[key]]
        )
    elif choice < 0.85:
        key = rng.choice(keys)
        place[rng.choice([f"as:{key}", f"{AS}#{key}", f"_:{key}", f"toot:{key}", f"{key}Map"])] = deepcopy(place[key])
    else:
        place[rng.choice(keys)] = deepcopy(rng.choice(places)) if len(json.dumps(mutated_document)) < 20_000 else None


def mutate_context(place: Any, rng: Random) -> None:
    present = place.get("@context", [])
    parts = present if isinstance(present, list) else [present]
    choice = rng.random()
    if choice < 0.1:
        place["@context"] = deepcopy(rng.choice(CONTEXTS))
    elif choice < 0.3 and parts:
        parts = [*parts]
        rng.shuffle(parts)
        place["@context"] = parts
    elif choice < 0.4:
        place["@context"] = [*parts, deepcopy(rng.choice(CONTEXTS))]
    else:
        keys = KEYS if rng.random() < 0.3 else WORDS
        context_part: dict[str, Any] = {
            rng.choice(keys): deepcopy(rng.choice(DEFINITIONS if rng.random() < 0.4 else DEFINITIONS_IN_USE))
            for _ in range(rng.randint(1, 2))
        }
        if rng.random() < 0.3:
            context_part.update([rng.choice(SETTINGS)])
        place["@context"] = [*parts, context_part]


def value(rng: Random) -> Any:
    choice = rng.random()
    if choice < 0.5:
        return rng.choice(SCALARS if rng.random() < 0.3 else PLAIN)
    if choice < 0.7:
        return [value(rng) for _ in range(rng.randint(0, 3))]
    if choice < 0.8:
        return {
            "@value": rng.choice(PLAIN),
            **rng.choice([{}, {"@type": rng.choice(PLAIN)}, {"@language": rng.choice(["en", "De-AT", 5])}]),
        }
    if choice < 0.85:
        return {rng.choice(["en", "DE", "und", "@none", "x"]): rng.choice([rng.choice(SCALARS), ["a", None, "b"]])}
    return {rng.choice(KEYS if rng.random() < 0.2 else WORDS): value(rng) for _ in range(rng.randint(0, 3))}


def json_objects(root: Any) -> Any:
    stack = [root]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            yield part
            stack += [member for key, member in part.items() if key != "@context"]
        elif isinstance(part, list):
            stack += part


# --- the two paths --------------------------------------------------------------------------------------------------


class Oracle:
    """PyLD, with a memory of contexts that is renewed after some documents."""

    def __init__(self) -> None:
        self._resolver: Any = None
        self._uses = 0

    def options(self, **options_to_add: Any) -> dict[str, Any]:
        if self._resolver is None or self._uses >= 1_000:
            self._resolver, self._uses = ContextResolver({}, load), 0
        self._uses += 1
        return {"base": None, "documentLoader": load, "contextResolver": self._resolver, **options_to_add}

    def fresh(self) -> None:
        self._resolver = None

    def expand(self, expanded_document: Any) -> Any:
        return self._call("expand", expanded_document, self.options())

    def compact(self, expanded: Any, context: Any) -> Any:
        return self._call("compact", deepcopy(expanded), deepcopy(context), self.options(skipExpansion=True))

    def _call(self, function: str, *arguments: Any) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)
                return getattr(jsonld.JsonLdProcessor(), function)(*arguments)
        except Exception as error:
            return error


def load(url: str, _options: object) -> dict[str, Any]:
    return {
        "contentType": None,
        "contextUrl": None,
        "documentUrl": url,
        "document": {"@context": deepcopy(TABLE.get(url))},
    }


def budget() -> WorkBudget:
    return WorkBudget(DEFAULT_LIMITS, DEFAULT_LIMITS.bytes_max)


def fast_expand(document_to_expand: Any) -> Any:
    return _attempt(
        lambda: Expander(compiler_of(TABLE), DEFAULT_LIMITS, None, budget()).expand(document_to_expand, None)
    )


def fast_compact(expanded: Any, context: Any) -> Any:
    return _attempt(lambda: Compactor(compiler_of(TABLE), DEFAULT_LIMITS, budget()).compact(expanded, context))


def _attempt(function: Any) -> Any:
    try:
        return function()
    except (NotCovered, ApcoreError) as answer:
        return answer


def exact(part: Any) -> Any:
    """Return a form in which 1, 1.0 and True differ."""
    if isinstance(part, dict):
        return {key: exact(member) for key, member in part.items()}
    if isinstance(part, list):
        return [exact(member) for member in part]
    return (type(part).__name__, part) if isinstance(part, (bool, int, float)) else part


def agree(fast: Any, slow: Any) -> bool:
    if isinstance(fast, (LimitExceeded, ContextNeeded)):
        return True  # Limits are apcore's decision, and the slow path needs the same contexts.
    if isinstance(fast, Exception) or isinstance(slow, Exception):
        return False
    return exact(fast) == exact(slow)


class Run:
    """The counts and differences of one run."""

    def __init__(self, seed: int, *, classify: bool = False) -> None:
        self.seed = seed
        self._classify = classify
        self.counts: Counter[str] = Counter()
        self.differences: list[str] = []
        self._oracle = Oracle()

    def check(self, number: int) -> None:
        mutated_document = document(self.seed, number)
        before = json.dumps(mutated_document)
        expanded = self._compare(
            "expand",
            number,
            mutated_document,
            fast_expand(mutated_document),
            lambda: self._oracle.expand(mutated_document),
        )
        if json.dumps(mutated_document) != before:
            self.differences.append(f"document {number}: expansion changed its argument")
        if isinstance(expanded, Exception) or not expanded:
            return
        rng = Random(f"{self.seed}:{number}:target")
        target = mutated_document.get("@context", {}) if rng.random() < 0.3 else rng.choice(TARGETS)
        if target is None or isinstance(target, (bool, int)):
            target = AS
        before = json.dumps(expanded)
        self._compare(
            "compact",
            number,
            expanded,
            fast_compact(expanded, target),
            lambda: self._oracle.compact(expanded, target),
            target,
        )
        if json.dumps(expanded) != before:
            self.differences.append(f"document {number}: compaction changed its argument")

    def _compare(
        self, function_name: str, number: int, input_document: Any, fast: Any, slow: Any, target: Any = None
    ) -> Any:
        if isinstance(fast, NotCovered):
            if not self._classify:
                self.counts[f"{function_name}: left to PyLD"] += 1
                return fast
            answer = slow()
            self.counts[
                f"{function_name}: left to PyLD, {'an error' if isinstance(answer, Exception) else 'a result'}"
            ] += 1
            return answer
        answer = slow()
        if not agree(fast, answer):
            self._oracle.fresh()
            answer = slow()
        if agree(fast, answer):
            self.counts[f"{function_name}: equal"] += 1
        else:
            self.counts[f"{function_name}: DIFFERENT"] += 1
            self.differences.append(
                f"{function_name} of document {number} of seed {self.seed}\n"
                f"  document {json.dumps(input_document)}\n  target {json.dumps(target)}\n"
                f"  tables {result_text(fast)}\n  PyLD   {result_text(answer)}"
            )
        return answer


def result_text(answer: Any) -> str:
    return repr(answer)[:2000] if isinstance(answer, Exception) else json.dumps(answer)


def check_work(seed: int, first: int, documents: int) -> int:
    """Read documents of the grammar; return how many exceeded their budget or raised an error without a type."""
    for address in context_grammar.REGISTERED:  # A process loads them once.
        cpu_budget.read(json.dumps({"@context": [address], "@graph": [], "type": "x"}).encode())
    endings: Counter[str] = Counter()
    closest, faults = 0.0, 0
    for number in range(first, first + documents):
        body = context_grammar.document(seed, number)
        started = time.thread_time()
        try:
            endings[cpu_budget.read(body)] += 1
            spent_ms = (time.thread_time() - started) * 1000
            factor = cpu_budget.excess(body, cpu_budget.read, spent_ms)
        except Exception as error:
            print(f"document {number} of seed {seed}: {error!r:.300}", flush=True)
            faults += 1
            continue
        closest = max(closest, factor)
        if factor > 1:
            print(f"document {number} of seed {seed}: {len(body)} bytes, {factor:.2f} times its bound", flush=True)
            faults += 1
        if (number - first) % 10_000 == 9_999:
            print(f"{number - first + 1} documents, {faults} faults, at most {closest:.2f} of a bound", flush=True)
    print(f"{documents} documents, {faults} faults, at most {closest:.2f} of a bound")
    for ending, times in endings.most_common():
        print(f"{times:8} {ending}")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the tables with PyLD on mutated documents.")
    parser.add_argument("--work", action="store_true", help="hold the work budget, on documents made to be slow")
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first difference")
    parser.add_argument(
        "--classify", action="store_true", help="say what PyLD makes of the documents that are left to it"
    )
    arguments = parser.parse_args()
    if arguments.work:
        return 1 if check_work(arguments.seed, arguments.first, arguments.documents) else 0
    run = Run(arguments.seed, classify=arguments.classify)
    for number in range(arguments.first, arguments.first + arguments.documents):
        run.check(number)
        if run.differences and not arguments.keep_going:
            break
        if number % 10_000 == 9_999:
            print(f"{number + 1} documents: {dict(sorted(run.counts.items()))}", flush=True)
    for difference in run.differences:
        print(difference)
    for name, times in sorted(run.counts.items()):
        print(f"{times:8} {name}")
    return 1 if run.differences else 0


if __name__ == "__main__":
    raise SystemExit(main())
