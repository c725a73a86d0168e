"""Which colour a function has, however it is wrapped; and which functions have none."""

from functools import partial, wraps

import pytest

from apcore.effects import Now, Op
from apcore.errors import ConfigurationError
from apcore.handlers import HandlerKind, handler_kind_of, handler_name, operation


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
    ("fn", "handler_kind"),
    [
        pytest.param(plain, HandlerKind.PLAIN, id="function"),
        pytest.param(lambda: None, HandlerKind.PLAIN, id="lambda"),
        pytest.param(len, HandlerKind.PLAIN, id="builtin"),
        pytest.param(Plain(), HandlerKind.PLAIN, id="callable-object"),
        pytest.param(Plain().method, HandlerKind.PLAIN, id="method"),
        pytest.param(Plain.static, HandlerKind.PLAIN, id="static-method"),
        pytest.param(Plain.of_class, HandlerKind.PLAIN, id="class-method"),
        pytest.param(partial(partial(plain)), HandlerKind.PLAIN, id="partials"),
        pytest.param(coroutine, HandlerKind.COROUTINE, id="coroutine"),
        pytest.param(Awaiting(), HandlerKind.COROUTINE, id="awaiting-object"),
        pytest.param(Awaiting().method, HandlerKind.COROUTINE, id="coroutine-method"),
        pytest.param(partial(coroutine), HandlerKind.COROUTINE, id="partial-coroutine"),
        pytest.param(asks, HandlerKind.OPERATION, id="operation"),
        pytest.param(Asking(), HandlerKind.OPERATION, id="asking-object"),
        pytest.param(Asking().method, HandlerKind.OPERATION, id="operation-method"),
        pytest.param(partial(asks), HandlerKind.OPERATION, id="partial-operation"),
        pytest.param(around, HandlerKind.OPERATION, id="wrapped-operation"),
    ],
)
def test_colour(fn, handler_kind):
    assert handler_kind_of(fn) is handler_kind


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
        handler_kind_of(fn)


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
