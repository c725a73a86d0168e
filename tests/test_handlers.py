"""Which colour a function has, however it is wrapped; and which functions have none."""

from functools import partial, wraps

import pytest

from apcore.effects import Now, Op
from apcore.errors import ConfigurationError
from apcore.handlers import Colour, colour_of, handler_name, operation


def plain(): ...


async def coroutine(): ...


@operation
def asks() -> Op[None]:
    yield from Now()


class Plain:
    def __call__(self): ...

    def method(self): ...

    @staticmethod
    def static(): ...

    @classmethod
    def of_class(cls): ...


class Awaiting:
    async def __call__(self): ...

    async def method(self): ...


class Asking:
    @operation
    def __call__(self) -> Op[None]:
        yield from Now()

    @operation
    def method(self) -> Op[None]:
        yield from Now()


@wraps(asks)
def around(*args):
    return asks(*args)


@pytest.mark.parametrize(
    ("fn", "colour"),
    [
        pytest.param(plain, Colour.PLAIN, id="function"),
        pytest.param(lambda: None, Colour.PLAIN, id="lambda"),
        pytest.param(len, Colour.PLAIN, id="builtin"),
        pytest.param(Plain(), Colour.PLAIN, id="callable-object"),
        pytest.param(Plain().method, Colour.PLAIN, id="method"),
        pytest.param(Plain.static, Colour.PLAIN, id="static-method"),
        pytest.param(Plain.of_class, Colour.PLAIN, id="class-method"),
        pytest.param(partial(partial(plain)), Colour.PLAIN, id="partials"),
        pytest.param(coroutine, Colour.COROUTINE, id="coroutine"),
        pytest.param(Awaiting(), Colour.COROUTINE, id="awaiting-object"),
        pytest.param(Awaiting().method, Colour.COROUTINE, id="coroutine-method"),
        pytest.param(partial(coroutine), Colour.COROUTINE, id="partial-coroutine"),
        pytest.param(asks, Colour.OPERATION, id="operation"),
        pytest.param(Asking(), Colour.OPERATION, id="asking-object"),
        pytest.param(Asking().method, Colour.OPERATION, id="operation-method"),
        pytest.param(partial(asks), Colour.OPERATION, id="partial-operation"),
        pytest.param(around, Colour.OPERATION, id="wrapped-operation"),
    ],
)
def test_colour(fn, colour):
    assert colour_of(fn) is colour


def unmarked():
    yield


async def async_generator():
    yield


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        pytest.param(unmarked, r"unmarked is a generator function; mark it @operation", id="unmarked-generator"),
        pytest.param(partial(unmarked), "mark it @operation", id="partial-of-one"),
        pytest.param(async_generator, "async generator", id="async-generator"),
        pytest.param(Plain, "a handler is a function", id="class"),
        pytest.param("plain", "a handler is a function, not 'plain'", id="string"),
        pytest.param(None, "a handler is a function, not None", id="none"),
    ],
)
def test_no_colour(fn, words):
    with pytest.raises(ConfigurationError, match=words):
        colour_of(fn)


@pytest.mark.parametrize("fn", [plain, coroutine, async_generator])
def test_only_generator_functions_are_operations(fn):
    with pytest.raises(ConfigurationError, match="no yield"):
        operation(fn)


@pytest.mark.parametrize(
    ("fn", "name"),
    [(plain, "plain"), (partial(plain), "plain"), (Plain().method, "Plain.method"), (Plain(), "Plain object")],
    ids=["function", "partial", "method", "object"],
)
def test_a_handler_is_named_for_people(fn, name):
    assert name in handler_name(fn)
