"""Each way of misusing a view is reported by both type checkers.

An ignore that is not needed is an error itself (`warn_unused_ignores`, `reportUnnecessaryTypeIgnoreComment`), so this file passes only as
long as every line in it is reported.
"""

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
Recipe(servings="four")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Recipe(name=4)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
# A view of another class.
Recipe(steps=[Note()])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
# No such property.
Recipe(serving=4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
# Only by name.
Recipe("four")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
# Views do not change.
recipe.servings = 5  # type: ignore[arg-type]  # pyright: ignore[reportAttributeAccessIssue]
# What may be absent is not certainly there.
more = read.servings + 1  # type: ignore[operator]  # pyright: ignore[reportOptionalOperand, reportUnknownVariableType]
# A property of another view.
inbox = read.inbox  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
# A property declared as what it is not.
declared: Person = read_document(b"{}").view(Recipe)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


class Wrong(View, ns="https://recipes.example/ns#"):
    steps: Many[Step] = Many(Note)  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]
