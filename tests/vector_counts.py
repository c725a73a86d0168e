"""List the shared vectors: the number of cases of each suite, and the test that decides them.

`test_vectors.py` fails if a suite shrinks, grows or loses its test. The end of a test run prints the counts of suites
that passed.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vector_files import VECTORS


@dataclass(frozen=True)
class Suite:
    """One suite of vectors."""

    path: str
    """A file, or a pattern of files, under the vectors."""
    cases: int
    """The number of cases."""
    test: str
    """The test file that uses them. If they depend on policy, it names the preset that decides."""
    count: Callable[[Any, str], int]
    """A function that counts the cases of one file, from its path and its text."""

    def count_cases(self) -> int:
        """Return the current number of cases."""
        return sum(
            self.count(path, path.read_text(encoding="utf-8", errors="replace"))
            for path in sorted(VECTORS.glob(self.path))
        )


def files(_path: Any, _text: str) -> int:
    return 1


def in_cases(_path: Any, text: str) -> int:
    return len(json.loads(text)["cases"])


def in_examples(_path: Any, text: str) -> int:
    return len(json.loads(text)["examples"])


def in_entries(_path: Any, text: str) -> int:
    return len(json.loads(text)["entries"])


def in_array(_path: Any, text: str) -> int:
    return len(json.loads(text))


def in_groups(_path: Any, text: str) -> int:
    return sum(len(group["tests"]) for group in json.loads(text)["testGroups"])


def in_rows(_path: Any, text: str) -> int:
    return len(list(csv.reader(text.splitlines()))) - 1


def in_appendix_b(_path: Any, text: str) -> int:
    """Count the signatures, the variants of one, and the one that a proxy adds."""
    file = json.loads(text)
    return len(file["cases"]) + len(file["transformations"]["variants"]) + ("proxyCase" in file)


def signatures(_path: Any, text: str) -> int:
    """Count the documents with a proof, but not the files with parts of a proof."""
    members = json.loads(text)
    return int(isinstance(members, dict) and "proof" in members and "proofValue" in json.dumps(members["proof"]))


HTTP = "tests/signatures/test_http_vectors.py"
PROOFS = "tests/signatures/test_proofs.py"

SUITES = (
    Suite("http-signatures/rfc9421-appendix-b.json", 13, HTTP, in_appendix_b),
    Suite("http-signatures/cavage-appendix-c.json", 4, HTTP, in_cases),
    Suite("http-signatures/ccg-test-suite/*.httpMessage", 17, HTTP, files),
    Suite("http-signatures/mastodon-spec.json", 20, HTTP, in_cases),
    Suite("http-signatures/recorded.json", 2, HTTP, in_cases),
    Suite("http-signatures/generated.json", 24, HTTP, in_cases),
    Suite("structured-fields/*.json", 1591, "tests/http/test_fields.py", in_array),
    Suite("structured-fields/serialisation-tests/*.json", 544, "tests/http/test_fields.py", in_array),
    Suite("multibase/*.csv", 81, "tests/signatures/test_multibase.py", in_rows),
    Suite("vc-di-eddsa/**/combinedHash*.txt", 4, PROOFS, files),
    Suite("vc-di-eddsa/**/signed*.json", 8, PROOFS, signatures),
    Suite("integrity-proofs/fep-8b32.json", 1, PROOFS, files),
    Suite("integrity-proofs/fep-c390.json", 1, PROOFS, files),
    Suite("integrity-proofs/fep-521a.json", 2, "tests/signatures/test_key_formats.py", in_cases),
    Suite("integrity-proofs/mastodon-spec.json", 2, PROOFS, in_cases),
    Suite("integrity-proofs/generated.json", 8, PROOFS, in_cases),
    Suite("ld-signatures/*.json", 2, "tests/signatures/test_ld_signature.py", files),
    Suite("wycheproof/ed25519_test.json", 151, "tests/signatures/test_keys.py", in_groups),
    Suite("wycheproof/rsa_signature_*.json", 517, "tests/signatures/test_keys.py", in_groups),
    Suite("ssrf/addresses.json", 31, "tests/http/test_addresses.py", in_cases),
    Suite("ssrf/urls.json", 20, "tests/http/test_addresses.py", in_cases),
    Suite("identifiers/acct.json", 13, "tests/discovery/test_accounts.py", in_cases),
    Suite("identifiers/content-types.json", 8, "tests/http/test_media.py", in_cases),
    Suite("identifiers/datetimes.json", 9, "tests/vocab/test_times.py", in_cases),
    Suite("identifiers/origins.json", 8, "tests/http/test_urls.py", in_cases),
    Suite("http-responses/*.http", 7, "tests/remote/test_documents.py", files),
    Suite("discovery/*", 16, "tests/discovery/test_descriptors.py", files),
    Suite("nodeinfo/*_example.json", 5, "tests/discovery/test_nodeinfo.py", files),
    Suite("payloads/*/*.json", 304, "tests/vocab/test_payloads.py", files),
    Suite("as2/**/*.json", 232, "tests/vocab/test_payloads.py", files),
    Suite("fep-examples/*.json", 279, "tests/vocab/test_payloads.py", in_examples),
    Suite("jcs/input/*.json", 6, "tests/jsonld/test_jcs.py", files),
    Suite("json-parsing/test_parsing/*.json", 318, "tests/jsonld/test_parser.py", files),
    Suite("rdf-canon/manifest.jsonld", 86, "tests/jsonld/test_canonicalisation.py", in_entries),
    Suite("contexts/INDEX.json", 26, "tests/jsonld/test_contexts.py", in_entries),
)

UNUSED = {
    "follower-sync": "followers are not synchronised yet (FEP-8fcf)",
    "uritemplate": "routes are templates of two forms of their own, not URI templates in general",
    "json-ld-api": "counted where it is read, by kind: tests/jsonld/test_json_ld_api.py",
}
