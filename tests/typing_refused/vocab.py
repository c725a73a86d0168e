"""Each way of misusing a view."""

from __future__ import annotations

from apcore.vocab import Article, Integer, Many, Note, Person, Text, View, read_document


class Step(View, ns="https://recipes.example/ns#", type="Step"):
    instruction: Text = Text()


class Recipe(Article, ns="https://recipes.example/ns#", type="Recipe"):
    servings: Integer = Integer()
    steps: Many[Step] = Many(Step)


recipe = Recipe(servings=4)
read = read_document(b"{}").view(Recipe)

# The wrong type for a property, one's own and an inherited one.
Recipe(servings="four")  # refused
Recipe(name=4)  # refused
# A view of another class.
Recipe(steps=[Note()])  # refused
# No such property.
Recipe(serving=4)  # refused
# Only by name.
Recipe("four")  # refused
# Views do not change.
recipe.servings = 5  # refused
# What may be absent is not certainly there.
more = read.servings + 1  # refused
# A property of another view.
inbox = read.inbox  # refused
# A property declared as what it is not.
declared: Person = read_document(b"{}").view(Recipe)  # refused


class Wrong(View, ns="https://recipes.example/ns#"):
    steps: Many[Step] = Many(Note)  # refused
