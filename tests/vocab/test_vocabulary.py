"""Check vocabularies: immutable values made of view classes, with one meaning for each term."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from apcore.jsonld import BUNDLED, expand
from apcore.vocab import (
    AS,
    FEDIVERSE,
    Article,
    Integer,
    Namespace,
    Note,
    Object,
    Text,
    View,
    Vocabulary,
    read_document,
    to_wire,
)

RECIPES = "https://recipes.example/ns#"


class Recipe(Article, ns=RECIPES, type="Recipe"):
    servings: Integer = Integer()


def test_extending_a_vocabulary_returns_a_new_one():
    extended = FEDIVERSE.with_views(Recipe)
    assert extended.class_of("Recipe") is Recipe
    assert FEDIVERSE.class_of("Recipe") is None
    assert read_document({"type": "Recipe"}).is_a(Article) is False
    assert read_document({"type": "Recipe"}, vocabulary=extended).is_a(Article) is True


def test_unregistered_class_still_views_its_own_documents():
    recipe = Recipe(servings=4)
    assert recipe.document.is_a(Article)
    assert recipe.view(Object).id is None
    assert read_document(to_wire(recipe)).view(Recipe).servings == 4


def test_term_with_two_meanings_is_refused():
    class Other(View, ns="https://other.example/ns#"):
        servings: Integer = Integer()

    with pytest.raises(
        ValueError, match=r"'servings' means https://recipes\.example/ns#servings in Recipe\.servings and https://other"
    ):
        FEDIVERSE.with_views(Recipe, Other)


def test_type_with_two_meanings_is_refused():
    class Fake(Object, ns="https://other.example/ns#", type="Note"):
        pass

    with pytest.raises(ValueError, match="'Note' means"):
        FEDIVERSE.with_views(Fake)


def test_later_class_of_a_type_is_the_declared_one():
    class MyNote(Note, ns=AS, type="Note"):
        pass

    document = read_document({"type": "Note"}, vocabulary=FEDIVERSE.with_views(MyNote))
    assert type(document.as_declared(Object)) is MyNote
    assert document.is_a(Note)


def test_vocabulary_may_have_only_own_classes():
    tiny = Vocabulary((Recipe,))
    assert tiny.class_of("Note") is None
    assert read_document({"type": "Recipe", "servings": 3}, vocabulary=tiny).view(Recipe).servings == 3


def test_contexts_of_the_vocabulary_are_known():
    class Pan(View, ns=Namespace("https://k.example/ns#", "k", "https://k.example/context"), type="Pan"):
        material: Text = Text()

    definitions = {"k": "https://k.example/ns#", "Pan": "k:Pan", "material": "k:material"}
    kitchen = FEDIVERSE.with_views(Pan, contexts={"https://k.example/context": definitions})
    tree = to_wire(Pan(material="steel"))
    assert tree["@context"] == [AS.context, "https://k.example/context"]
    document = read_document(tree, vocabulary=kitchen)
    assert (document.view(Pan).material, document.reading.ignored_contexts) == ("steel", ())
    assert "https://k.example/context" in kitchen.table(BUNDLED)
    assert kitchen.table(kitchen.table(BUNDLED)) is not None


def test_context_of_the_application_is_judged_like_any_other():
    wrong = FEDIVERSE.with_views(contexts={"https://k.example/context": {"actor": "https://evil.example/"}})
    document = read_document(
        {"@context": [AS.context, "https://k.example/context"], "type": "Like", "actor": "x"}, vocabulary=wrong
    )
    assert document.reading.translated


def test_context_for_translation_is_valid():
    for view in FEDIVERSE.views:
        if view.type_name is not None and view.type_owner is view:
            (node,) = expand({"@context": FEDIVERSE.words.context, "type": view.type_name, "name": "x"})
            assert node["@type"] == [view.type_iri]


def test_how_to_page_shows_the_type_checked_code():
    root = Path(__file__).parents[2]
    page = (root / "docs" / "howto" / "own-vocabulary.md").read_text(encoding="utf-8")
    checked = (root / "typing_checks" / "vocab_recipes.py").read_text(encoding="utf-8")
    snippet = re.search(r"RECIPES = Namespace.*?(?=\n\n\nvocabulary)", page, re.DOTALL)
    assert snippet is not None
    assert snippet.group() in checked
