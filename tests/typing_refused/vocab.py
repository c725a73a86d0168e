"""Misuse views in each way that type checkers must refuse."""

from __future__ import annotations

from apcore.vocab import Article, Integer, Many, Note, Person, Text, View, read_document


class Step(View, ns="https://recipes.example/ns#", type="Step"):
    instruction: Text = Text()


class Recipe(Article, ns="https://recipes.example/ns#", type="Recipe"):
    servings: Integer = Integer()
    steps: Many[Step] = Many(Step)


recipe = Recipe(servings=4)
received_recipe = read_document(b"{}").view(Recipe)

# A value of the wrong type, for an own and for an inherited property.
Recipe(servings="four")  # refused
Recipe(name=4)  # refused
# A view of another class.
Recipe(steps=[Note()])  # refused
# A property that does not exist.
Recipe(serving=4)  # refused
# A positional argument.
Recipe("four")  # refused
# An assignment to an immutable view.
recipe.servings = 5  # refused
# Arithmetic with a value that may be None.
servings_plus_one = received_recipe.servings + 1  # refused
# A property of another view.
inbox = received_recipe.inbox  # refused
# A view under the type of another.
declared: Person = read_document(b"{}").view(Recipe)  # refused


class Wrong(View, ns="https://recipes.example/ns#"):
    steps: Many[Step] = Many(Note)  # refused
