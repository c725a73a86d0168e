"""Check that the scheme of a signed request is recognised."""

from __future__ import annotations

import pytest
from attrs import evolve

from apcore.signatures import DEFAULT, cavage, rfc9421
from apcore.signatures.errors import SignatureMalformed, SignatureMissing
from apcore.signatures.presented import check
from apcore.signatures.requests import is_signed, parse, parse_all


def test_each_scheme_is_recognised_by_its_fields(ed_key, post, now):
    for module, scheme in ((cavage, "cavage"), (rfc9421, "rfc9421")):
        signed = module.sign(post, ed_key, now=now)
        assert is_signed(signed)
        assert check(parse(signed, now=now), ed_key.public).scheme == scheme
    assert not is_signed(post)
    with pytest.raises(SignatureMissing):
        parse_all(post, now=now)


@pytest.mark.parametrize("scheme", ["Signature", "signature"])
def test_signature_in_authorization_is_a_claim_that_policies_may_accept(ed_key, post, now, scheme):
    signed = cavage.sign(post, ed_key, now=now)
    value = signed.headers.get("signature")
    moved = evolve(signed, headers=signed.headers.without("signature").with_set("authorization", f"{scheme} {value}"))
    assert is_signed(moved)
    assert check(parse(moved, DEFAULT.with_(authorization=True), now=now), ed_key.public).scheme == "cavage"
    with pytest.raises(SignatureMissing, match="in Authorization"):
        parse(moved, now=now)
    assert not is_signed(evolve(post, headers=post.headers.with_set("authorization", "Bearer signature")))


def test_wrong_rfc9421_signature_is_refused_beside_a_valid_draft_signature(ed_key, post, now):
    """A valid draft signature does not help a message with a wrong RFC 9421 signature."""
    signed = cavage.sign(post, ed_key, now=now)
    other = rfc9421.sign(post, ed_key, now=now)
    smuggled = evolve(signed, headers=signed.headers.with_set("signature-input", other.headers.get("signature-input")))
    with pytest.raises(SignatureMalformed):
        parse_all(smuggled, now=now)


@pytest.mark.parametrize("url", ["/users/bob/inbox", "local.example", "https://local.example/#x", "https:///x"])
def test_relative_url_is_refused(ed_key, post, now, url):
    for module in (cavage, rfc9421):
        with pytest.raises(SignatureMalformed, match="absolute url"):
            parse_all(evolve(module.sign(post, ed_key, now=now), url=url), now=now)
