"""What JSON-LD costs beside PyLD (and jsonld.js, where Node has it), and how that grows.

    python benchmarks/jsonld.py [--rounds 7] [--seconds 0.05] [--node-modules DIR] [--long]

All contenders take turns in one run, round after round; the median of the rounds counts, and the ratios are what matters. Times are CPU times of
the process (of all its threads, for Node), so that a busy machine disturbs them less. PyLD runs as fast as it can: contexts are loaded from
memory and marked as static, so that it keeps them compiled. ``--node-modules`` names a directory that holds `jsonld`
for Node; it has its own clock, and takes its turns in the same rounds. ``--long`` adds the flood of a hundred thousand contexts.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import tracemalloc
from copy import deepcopy
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from pyld import jsonld as pyld

from apcore.errors import LimitExceeded
from apcore.jsonld import (
    BUNDLED,
    ProcessingLimits,
    Quad,
    canonicalize,
    canonicalize_quads,
    compact,
    expand,
    parse_document,
    to_nquads,
)
from apcore.vocab import Activity, Object, read_document

AS = "https://www.w3.org/ns/activitystreams"
SECURITY = "https://w3id.org/security/v1"
HOST = "https://social.example"
ALICE = f"{HOST}/users/alice"
WIDE = ProcessingLimits(bytes_max=64 << 20, nodes_max=1_000_000)

CREATE_CONTEXT = [
    AS,
    {
        "ostatus": "http://ostatus.org#",
        "atomUri": "ostatus:atomUri",
        "inReplyToAtomUri": "ostatus:inReplyToAtomUri",
        "conversation": "ostatus:conversation",
        "sensitive": "as:sensitive",
        "toot": "http://joinmastodon.org/ns#",
        "votersCount": "toot:votersCount",
        "Emoji": "toot:Emoji",
        "focalPoint": {"@container": "@list", "@id": "toot:focalPoint"},
        "blurhash": "toot:blurhash",
        "Hashtag": "as:Hashtag",
    },
]
ACTOR_CONTEXT = [
    AS,
    SECURITY,
    {
        "manuallyApprovesFollowers": "as:manuallyApprovesFollowers",
        "toot": "http://joinmastodon.org/ns#",
        "featured": {"@id": "toot:featured", "@type": "@id"},
        "featuredTags": {"@id": "toot:featuredTags", "@type": "@id"},
        "alsoKnownAs": {"@id": "as:alsoKnownAs", "@type": "@id"},
        "movedTo": {"@id": "as:movedTo", "@type": "@id"},
        "schema": "http://schema.org#",
        "PropertyValue": "schema:PropertyValue",
        "value": "schema:value",
        "discoverable": "toot:discoverable",
        "suspended": "toot:suspended",
        "memorial": "toot:memorial",
        "indexable": "toot:indexable",
        "attributionDomains": {"@id": "toot:attributionDomains", "@type": "@id"},
        "focalPoint": {"@container": "@list", "@id": "toot:focalPoint"},
    },
]
TEXT = (
    '<p><span class="h-card" translate="no"><a href="https://other.example/@bob" class="u-url mention">@<span>bob</span></a></span> '
    + "A paragraph of the length that people write when they have something to say, and a link to read more about it. "
    * 2
    + '<a href="https://social.example/tags/birds" class="mention hashtag" rel="tag">#<span>birds</span></a></p>'
)


def note(number):
    uri = f"{ALICE}/statuses/{112000000000000000 + number}"
    return {
        "id": uri,
        "type": "Note",
        "summary": None,
        "inReplyTo": "https://other.example/users/bob/statuses/111999999999999999",
        "published": "2024-05-01T12:00:00Z",
        "url": f"{HOST}/@alice/{number}",
        "attributedTo": ALICE,
        "to": [f"{AS}#Public"],
        "cc": [f"{ALICE}/followers", "https://other.example/users/bob"],
        "sensitive": False,
        "atomUri": uri,
        "inReplyToAtomUri": "https://other.example/users/bob/statuses/111999999999999999",
        "conversation": f"tag:other.example,2024-05-01:objectId={number}:objectType=Conversation",
        "content": TEXT,
        "contentMap": {"en": TEXT},
        "attachment": [
            {
                "type": "Document",
                "mediaType": "image/jpeg",
                "url": f"https://files.social.example/media/{number}/original.jpg",
                "name": "A bird on a wire",
                "blurhash": "UBL_:rOpGG-oBUNG,qRj2so|=eE1w^n4S5NH",
                "focalPoint": [0.0, -0.25],
                "width": 1920,
                "height": 1080,
            }
        ],
        "tag": [
            {"type": "Mention", "href": "https://other.example/users/bob", "name": "@bob@other.example"},
            {"type": "Hashtag", "href": f"{HOST}/tags/birds", "name": "#birds"},
        ],
        "replies": {
            "id": f"{uri}/replies",
            "type": "Collection",
            "first": {
                "type": "CollectionPage",
                "next": f"{uri}/replies?page=true",
                "partOf": f"{uri}/replies",
                "items": [],
            },
        },
        "likes": {"id": f"{uri}/likes", "type": "Collection", "totalItems": 3},
        "shares": {"id": f"{uri}/shares", "type": "Collection", "totalItems": 0},
    }


def activity(number):
    made = note(number)
    return {
        "id": f"{made['id']}/activity",
        "type": "Create",
        "actor": ALICE,
        "published": made["published"],
        "to": made["to"],
        "cc": made["cc"],
        "object": made,
    }


CREATE = {"@context": CREATE_CONTEXT, **activity(1)}
ACTOR = {
    "@context": ACTOR_CONTEXT,
    "id": ALICE,
    "type": "Person",
    "following": f"{ALICE}/following",
    "followers": f"{ALICE}/followers",
    "inbox": f"{ALICE}/inbox",
    "outbox": f"{ALICE}/outbox",
    "featured": f"{ALICE}/collections/featured",
    "featuredTags": f"{ALICE}/collections/tags",
    "preferredUsername": "alice",
    "name": "Alice",
    "summary": "<p>Birds, mostly. Sometimes code. " * 6 + "</p>",
    "url": f"{HOST}/@alice",
    "manuallyApprovesFollowers": False,
    "discoverable": True,
    "indexable": True,
    "published": "2019-03-01T00:00:00Z",
    "memorial": False,
    "alsoKnownAs": ["https://older.example/users/alice"],
    "publicKey": {
        "id": f"{ALICE}#main-key",
        "owner": ALICE,
        "publicKeyPem": "-----BEGIN PUBLIC KEY-----\n" + "MIIB" * 98 + "\n-----END PUBLIC KEY-----\n",
    },
    "tag": [],
    "attachment": [
        {
            "type": "PropertyValue",
            "name": name,
            "value": f'<a href="https://{name}.example/" rel="me nofollow noopener">{name}.example</a>',
        }
        for name in ("blog", "code", "work", "music")
    ],
    "endpoints": {"sharedInbox": f"{HOST}/inbox"},
    "icon": {"type": "Image", "mediaType": "image/png", "url": "https://files.social.example/avatars/alice.png"},
    "image": {"type": "Image", "mediaType": "image/png", "url": "https://files.social.example/headers/alice.png"},
}
GROUP = "https://lemmy.example/c/birds"
ANNOUNCE = {
    "@context": ["https://join-lemmy.org/context.json", AS],
    "id": "https://lemmy.example/activities/announce/1",
    "type": "Announce",
    "actor": GROUP,
    "to": [f"{AS}#Public"],
    "cc": [f"{GROUP}/followers"],
    "object": {
        "id": "https://lemmy.example/activities/create/1",
        "type": "Create",
        "actor": "https://lemmy.example/u/carol",
        "to": [GROUP, f"{AS}#Public"],
        "cc": [],
        "audience": GROUP,
        "object": {
            "id": "https://lemmy.example/post/1",
            "type": "Page",
            "attributedTo": "https://lemmy.example/u/carol",
            "to": [GROUP, f"{AS}#Public"],
            "audience": GROUP,
            "name": "Which bird is this?",
            "content": "<p>Seen this morning.</p>\n",
            "mediaType": "text/html",
            "source": {"content": "Seen this morning.", "mediaType": "text/markdown"},
            "attachment": [{"type": "Link", "href": "https://pictures.example/bird.jpg", "mediaType": "image/jpeg"}],
            "image": {"type": "Image", "url": "https://lemmy.example/pictrs/image/bird.webp"},
            "sensitive": False,
            "published": "2024-05-01T12:00:00.123456Z",
            "language": {"identifier": "en", "name": "English"},
            "tag": [{"href": "https://lemmy.example/post/1", "name": "#birds", "type": "Hashtag"}],
        },
    },
}


def page(items):
    return {
        "@context": CREATE_CONTEXT,
        "id": f"{ALICE}/outbox?page=true",
        "type": "OrderedCollectionPage",
        "partOf": f"{ALICE}/outbox",
        "next": f"{ALICE}/outbox?max_id=1&page=true",
        "orderedItems": [activity(number) for number in range(items)],
    }


DOCUMENTS = {"create": CREATE, "actor": ACTOR, "announce": ANNOUNCE, "page of 20": page(20)}


# --- contenders -----------------------------------------------------------------------------------------------------


def load(url, _options):
    return {
        "contentType": None,
        "contextUrl": None,
        "documentUrl": url,
        "tag": "static",
        "document": {"@context": deepcopy(BUNDLED.get(url))},
    }


PYLD = {"documentLoader": load}


def timed(function, seconds):
    """Microseconds of CPU for one call, over about ``seconds``."""
    function()
    calls, spent = 0, 0.0
    begun = process_time()
    while spent < seconds:
        function()
        calls += 1
        spent = process_time() - begun
    return spent / calls * 1e6


def race(contenders, rounds, seconds):
    """Median microseconds of each contender; all of them run in each round."""
    times = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, function in contenders.items():
            times[name].append(timed(function, seconds) if callable(function) else function.measure(seconds))
    return {name: median(values) for name, values in times.items()}


NODE = """
const jsonld = require('jsonld');
const lines = require('readline').createInterface({input: process.stdin});
const {contexts, documents} = JSON.parse(require('fs').readFileSync(process.argv[1]));
const documentLoader = async url => {
  if (!(url in contexts)) throw new Error(url);
  return {contextUrl: null, documentUrl: url, document: {'@context': contexts[url]}, tag: 'static'};
};
const options = {documentLoader};
const jobs = {
  expand: d => jsonld.expand(d.document, options),
  compact: d => jsonld.compact(d.expanded, d.document['@context'], {...options, skipExpansion: true}),
  canonicalize: d => jsonld.canonize(d.document, {...options, algorithm: 'RDFC-1.0', format: 'application/n-quads'}),
};
(async () => {
  for await (const line of lines) {
    const [job, name, seconds] = JSON.parse(line);
    const run = () => jobs[job](documents[name]);
    try {
      for (let i = 0; i < 20; i++) await run();
      const begun = process.cpuUsage();
      let calls = 0, spent = 0;
      while (spent < seconds * 1e6) {
        await run();
        calls++;
        const used = process.cpuUsage(begun);
        spent = used.user + used.system;
      }
      console.log(spent / calls);
    } catch (error) { console.log(JSON.stringify(String(error))); }
  }
})();
"""


class Node:
    """jsonld.js, in a process that takes its turns."""

    def __init__(self, modules):
        self.directory = tempfile.TemporaryDirectory()
        data = Path(self.directory.name) / "data.json"
        contexts = {url: BUNDLED.get(url) for url in (AS, SECURITY, "https://join-lemmy.org/context.json")}
        documents = {name: {"document": made, "expanded": expand(made)} for name, made in DOCUMENTS.items()}
        data.write_text(json.dumps({"contexts": contexts, "documents": documents}), encoding="utf-8")
        self.process = subprocess.Popen(
            ["node", "-e", NODE, "--", str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"NODE_PATH": str(modules), "PATH": "/usr/local/bin:/usr/bin:/bin"},
        )

    def measure(self, job, name, seconds):
        self.process.stdin.write(json.dumps([job, name, seconds]) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer if isinstance(answer, float | int) else float("nan")

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        self.directory.cleanup()


class Turn:
    def __init__(self, node, job, name):
        self.node, self.job, self.name = node, job, name

    def measure(self, seconds):
        return self.node.measure(self.job, self.name, seconds)


# --- tables ---------------------------------------------------------------------------------------------------------


def jobs_of(document):
    expanded, context = expand(document), document["@context"]
    assert expanded == pyld.expand(document, PYLD)
    assert compact(expanded, context) == pyld.compact(expanded, context, {**PYLD, "skipExpansion": True})
    normal = {**PYLD, "algorithm": "URDNA2015", "format": "application/n-quads"}
    assert canonicalize(document) == pyld.normalize(document, normal)
    return {
        "expand": (lambda: expand(document), lambda: pyld.expand(document, PYLD)),
        "compact": (
            lambda: compact(expanded, context),
            lambda: pyld.compact(expanded, context, {**PYLD, "skipExpansion": True}),
        ),
        "canonicalize": (lambda: canonicalize(document), lambda: pyld.normalize(document, normal)),
    }


def against(node, rounds, seconds):
    print(f"{'job':14}{'document':13}{'us':>9}{'PyLD us':>11}{'ratio':>8}{'jsonld.js us':>14}{'ratio':>8}")
    for name, document in DOCUMENTS.items():
        for job, (ours, theirs) in jobs_of(document).items():
            contenders = {"ours": ours, "pyld": theirs}
            if node is not None:
                contenders["js"] = Turn(node, job, name)
            times = race(contenders, rounds, seconds)
            js = times.get("js", float("nan"))
            print(
                f"{job:14}{name:13}{times['ours']:9.1f}{times['pyld']:11.1f}{times['pyld'] / times['ours']:7.1f}x"
                f"{js:14.1f}{js / times['ours']:7.1f}x"
            )


def reading(rounds, seconds):
    print(f"\n{'from bytes':27}{'us':>9}{'json.loads':>12}{'ratio':>8}")
    for name, document in DOCUMENTS.items():
        data = json.dumps(document).encode()

        def read(data=data):
            made = parse_document(data)
            [node] = expand(made)
            return made["type"], made["id"], node

        def view(data=data):
            made = read_document(data).view(Object)
            activity = Activity.over(made.document)
            return made.types, made.id, activity.actor, activity.object

        times = race(
            {
                "parse": lambda data=data: parse_document(data),
                "read": read,
                "view": view,
                "loads": lambda data=data: json.loads(data),
            },
            rounds,
            seconds,
        )
        for job, says in (("parse", "parse"), ("read", "parse + expand"), ("view", "read as a view")):
            label = f"{says:15}{name:12}"
            print(f"{label}{times[job]:9.1f}{times['loads']:12.1f}{times[job] / times['loads']:7.1f}x")


def growth(rounds, seconds):
    # Python's cyclic collector walks everything that lives each time that a quarter more does: with a thousand items it is
    # half of the time, whatever makes the objects. So the walk itself is shown without it.
    for collector in (True, False):
        (gc.enable if collector else gc.disable)()
        growth_table(rounds, seconds, "us an item" if collector else "no collector")
    gc.enable()


def growth_table(rounds, seconds, title):
    print(f"\n{title:14}" + "".join(f"{n:>10}" for n in (10, 20, 40, 100, 1_000)))
    for job in ("expand", "compact", "canonicalize"):
        cells = []
        for items in (10, 20, 40, 100, 1_000):
            made = page(items)
            expanded = expand(made, limits=WIDE)
            limits = ProcessingLimits(
                bytes_max=64 << 20,
                nodes_max=1_000_000,
                blank_nodes_max=1_000_000,
                work_base=sys.maxsize,
                work_max=sys.maxsize,
                canonical_work_max=10_000_000,
            )
            run = {
                "expand": lambda made=made: expand(made, limits=WIDE),
                "compact": lambda expanded=expanded: compact(expanded, CREATE_CONTEXT, limits=WIDE),
                "canonicalize": lambda made=made, limits=limits: canonicalize(made, limits=limits),
            }[job]
            cells.append(race({"ours": run}, 1 if items > 100 else rounds, seconds)["ours"] / items)
        print(f"{job:14}" + "".join(f"{cell:10.1f}" for cell in cells))


def hostile(*, long):
    print("\nhostile")
    for size in (6, 8, 12):
        quads = [
            Quad(f"_:n{a}", "<https://p.example>", f"_:n{b}", "") for a in range(size) for b in range(size) if a != b
        ]
        begun = process_time()
        try:
            canonicalize_quads(quads)
            verdict = "accepted"
        except LimitExceeded:
            verdict = "refused"
        print(f"  {len(to_nquads(quads)):5} bytes of clique: {verdict} in {(process_time() - begun) * 1e3:.1f} ms")
    flood = 100_000 if long else 5_000
    before = timed(lambda: expand(CREATE), 0.1)
    tracemalloc.start()
    begun = process_time()
    for number in range(flood):
        expand({"@context": [AS, {f"t{number}": f"as:t{number}"}], f"t{number}": 1})
    spent = (process_time() - begun) / flood * 1e6
    held = tracemalloc.get_traced_memory()[0] / 1e6
    tracemalloc.stop()
    begun = process_time()
    expand(CREATE)
    first = (process_time() - begun) * 1e6
    after = timed(lambda: expand(CREATE), 0.1)
    print(f"  {flood} different inline contexts: {spent:.0f} us each (traced), {held:.1f} MB held afterwards")
    print(f"  a create took {before:.0f} us before, {first:.0f} us first after, {after:.0f} us then")


def imports():
    print("\nimport of apcore.jsonld and apcore.vocab, and what it brings along, ms")
    for what in (
        "pass",
        "import json, attrs",
        "import apcore.jsonld",
        "import apcore.vocab",
        "import apcore.vocab.builtin",
    ):
        times = []
        for _ in range(7):
            begun = perf_counter()
            subprocess.run([sys.executable, "-c", what], check=True)
            times.append((perf_counter() - begun) * 1e3)
        print(f"  {what:30}{median(times):7.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.05)
    parser.add_argument("--node-modules", type=Path)
    parser.add_argument("--long", action="store_true")
    arguments = parser.parse_args()
    for name, document in DOCUMENTS.items():
        print(f"{name}: {len(json.dumps(document).encode())} bytes")
    node = Node(arguments.node_modules) if arguments.node_modules else None
    try:
        against(node, arguments.rounds, arguments.seconds)
    finally:
        if node is not None:
            node.close()
    reading(arguments.rounds, arguments.seconds)
    growth(arguments.rounds, arguments.seconds)
    hostile(long=arguments.long)
    imports()


if __name__ == "__main__":
    main()
