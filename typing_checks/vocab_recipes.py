"""The how-to's vocabulary is fully typed: what is read, what may be given, and what is a view of what."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import assert_type

from apcore.vocab import (
    FEDIVERSE,
    PUBLIC,
    Article,
    Create,
    Document,
    Duration,
    Integer,
    Link,
    Many,
    Namespace,
    One,
    Person,
    Reference,
    Text,
    Texts,
    View,
    read_document,
)

RECIPES = Namespace("https://recipes.example/ns#", "recipes")


class Step(View, ns=RECIPES, type="Step"):
    instruction: Text = Text()
    lasts: Duration = Duration()


class Recipe(Article, ns=RECIPES, type="Recipe"):
    servings: Integer = Integer()
    ingredients: Texts = Texts(array=True)
    steps: Many[Step] = Many(Step, array=True)


class Cookable(View, ns=RECIPES):
    difficulty: Text = Text()
    origin_recipe: One[Recipe] = One(Recipe)


vocabulary = FEDIVERSE.with_views(Recipe, Step, Cookable)

recipe = Recipe(
    id="https://recipes.example/1",
    name="Pancakes",
    servings=4,
    ingredients=["flour", "milk"],
    steps=[Step(instruction="Mix", lasts=timedelta(minutes=5)), Step(instruction="Bake")],
    published=datetime(2026, 1, 1, tzinfo=UTC),
    to=PUBLIC,
)
assert_type(recipe.servings, int | None)
assert_type(recipe.ingredients, tuple[str, ...])
assert_type(recipe.steps, tuple[Step, ...])
assert_type(recipe.steps[0].lasts, timedelta | None)
assert_type(recipe.published, datetime | None)
assert_type(recipe.name_map, Mapping[str, str])
assert_type(recipe.to, tuple[Reference, ...])
assert_type(recipe.urls, tuple[Link, ...])
assert_type(recipe.evolve(servings=5), Recipe)
assert_type(recipe.document, Document)

document = read_document(b"{}", vocabulary=vocabulary)
assert_type(document.view(Recipe), Recipe)
assert_type(document.view(Cookable).origin_recipe, Recipe | None)
assert_type(document.as_declared(Article), Article)

activity = Create(actor="https://recipes.example/alice", object=recipe, cc=["https://recipes.example/followers"])
assert_type(activity.actor, Reference | None)
if activity.object is not None:
    assert_type(activity.object.claimed(Recipe), Recipe | None)

Person(preferred_username="alice", name="Alice")
Recipe.servings.term
