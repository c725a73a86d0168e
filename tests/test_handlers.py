"""Check the kind of a handler, even if it is wrapped, and refusals of functions that are no handlers."""

from functools import partial, wraps

import pytest

from apcore.effects import Now, Op
from apcore.errors import ConfigurationError
from apcore.handlers import HandlerKind, handler_kind_of, handler_name, operation


def plain(): ...


async def coroutine(): ...


@operation
def read_clock() -> Op[None]:
    yield from Now()


class PlainObject:
    def __call__(self): ...

    def method(self): ...

    @staticmethod
    def static(): ...

    @classmethod
    def of_class(cls): ...


class CoroutineObject:
    async def __call__(self): ...

    async def method(self): ...


class OperationObject:
    @operation
    def __call__(self) -> Op[None]:
        yield from Now()

    @operation
    def method(self) -> Op[None]:
        yield from Now()


@wraps(read_clock)
def wrapped_operation(*args):
    return read_clock(*args)


@pytest.mark.parametrize(
    ("fn", "handler_kind"),
    [
        pytest.param(plain, HandlerKind.PLAIN, id="function"),
        pytest.param(lambda: None, HandlerKind.PLAIN, id="lambda"),
        pytest.param(len, HandlerKind.PLAIN, id="builtin"),
        pytest.param(PlainObject(), HandlerKind.PLAIN, id="callable-object"),
        pytest.param(PlainObject().method, HandlerKind.PLAIN, id="method"),
        pytest.param(PlainObject.static, HandlerKind.PLAIN, id="static-method"),
        pytest.param(PlainObject.of_class, HandlerKind.PLAIN, id="class-method"),
        pytest.param(partial(partial(plain)), HandlerKind.PLAIN, id="partials"),
        pytest.param(coroutine, HandlerKind.COROUTINE, id="coroutine"),
        pytest.param(CoroutineObject(), HandlerKind.COROUTINE, id="awaiting-object"),
        pytest.param(CoroutineObject().method, HandlerKind.COROUTINE, id="coroutine-method"),
        pytest.param(partial(coroutine), HandlerKind.COROUTINE, id="partial-coroutine"),
        pytest.param(read_clock, HandlerKind.OPERATION, id="operation"),
        pytest.param(OperationObject(), HandlerKind.OPERATION, id="asking-object"),
        pytest.param(OperationObject().method, HandlerKind.OPERATION, id="operation-method"),
        pytest.param(partial(read_clock), HandlerKind.OPERATION, id="partial-operation"),
        pytest.param(wrapped_operation, HandlerKind.OPERATION, id="wrapped-operation"),
    ],
)
def test_handler_has_its_kind(fn, handler_kind):
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
        pytest.param(PlainObject, "a handler is a function", id="class"),
        pytest.param("plain", "a handler is a function, not 'plain'", id="string"),
        pytest.param(None, "a handler is a function, not None", id="none"),
    ],
)
def test_invalid_handler_is_refused_in_words(fn, words):
    with pytest.raises(ConfigurationError, match=words):
        handler_kind_of(fn)


@pytest.mark.parametrize("fn", [plain, coroutine, async_generator])
def test_operation_must_be_a_generator_function(fn):
    with pytest.raises(ConfigurationError, match="no yield"):
        operation(fn)


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        (plain, "plain"),
        (partial(plain), "plain"),
        (PlainObject().method, "PlainObject.method"),
        (PlainObject(), "PlainObject object"),
    ],
    ids=["function", "partial", "method", "object"],
)
def test_handler_has_a_readable_name(fn, name):
    assert name in handler_name(fn)
