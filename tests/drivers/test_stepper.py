"""Every state of the machine that every driver is built on."""

import pytest

from apcore.drivers import Stepper
from apcore.effects import Effect, Now, Op, RandomBytes
from apcore.errors import ContractError, QueueUnavailable


def two_questions() -> Op[list[object]]:
    first = yield from Now()
    second = yield from RandomBytes(2)
    return [first, second]


def no_question() -> Op[str]:
    return "at once"
    yield from Now()


def raises_at_once() -> Op[None]:
    raise KeyError("first step")
    yield from Now()


def forgives() -> Op[str]:
    try:
        yield from Now()
    except QueueUnavailable as error:
        return str(error)
    return "no error"


def test_goes_from_question_to_question_to_the_result():
    step = Stepper(two_questions())
    assert step.wants == Now()
    assert not step.ended
    step.resume("noon")
    assert step.wants == RandomBytes(2)
    assert not step.ended
    step.resume(b"ab")
    assert step.wants is None
    assert step.ended
    assert step.result == ["noon", b"ab"]


def test_an_operation_without_questions_ends_in_the_constructor():
    step = Stepper(no_question())
    assert (step.wants, step.ended, step.result) == (None, True, "at once")


def test_what_the_first_steps_raise_comes_out_of_the_constructor():
    with pytest.raises(KeyError, match="first step"):
        Stepper(raises_at_once())


def test_an_error_is_thrown_in_at_the_yield():
    step = Stepper(forgives())
    step.fail(QueueUnavailable("later"))
    assert step.result == "later"


def test_an_error_that_nobody_catches_comes_out_twice():
    step = Stepper(two_questions())
    with pytest.raises(QueueUnavailable, match="later"):
        step.fail(QueueUnavailable("later"))
    assert step.ended
    assert step.wants is None
    with pytest.raises(QueueUnavailable, match="later"):
        _ = step.result


def test_an_operation_under_way_has_no_result():
    with pytest.raises(ContractError, match="waits for Now"):
        _ = Stepper(two_questions()).result


@pytest.mark.parametrize(
    "answer", [lambda step: step.resume(1), lambda step: step.fail(KeyError())], ids=["resume", "fail"]
)
def test_what_has_ended_takes_no_answer(answer):
    step = Stepper(no_question())
    with pytest.raises(ContractError, match="has ended"):
        answer(step)
    assert step.result == "at once"


def test_closing_runs_the_finally_blocks_and_ends():
    ran = []

    def tidies() -> Op[None]:
        try:
            yield from Now()
        finally:
            ran.append("finally")

    step = Stepper(tidies())
    step.close()
    step.close()
    assert (ran, step.wants, step.ended) == (["finally"], None, True)
    with pytest.raises(ContractError, match="closed before it ended"):
        _ = step.result
    with pytest.raises(ContractError, match="has ended"):
        step.resume(None)


def test_closing_what_has_ended_keeps_its_result():
    step = Stepper(no_question())
    step.close()
    assert step.result == "at once"


def asks_while_closing() -> Op[None]:
    try:
        yield from Now()
    finally:
        yield from RandomBytes(1)


def nested_asks_while_closing() -> Op[None]:
    yield from asks_while_closing()


@pytest.mark.parametrize("op", [asks_while_closing, nested_asks_while_closing])
def test_a_finally_block_that_asks_is_a_broken_contract(op):
    with pytest.raises(ContractError, match="while it was being closed"):
        Stepper(op()).close()


def test_a_finally_block_may_raise_its_own_runtime_error():
    def breaks() -> Op[None]:
        try:
            yield from Now()
        finally:
            raise RuntimeError("my own")

    with pytest.raises(RuntimeError, match="my own"):
        Stepper(breaks()).close()


@pytest.mark.parametrize("nonsense", [None, 7, Effect, "Now()"], ids=repr)
def test_only_effects_may_be_yielded(nonsense):
    closed = []

    def confused() -> Op[None]:
        try:
            yield nonsense
        finally:
            closed.append(True)

    with pytest.raises(ContractError, match="yields effects"):
        Stepper(confused())
    assert closed


def test_an_interrupt_passes_through_and_ends_the_operation():
    def interrupted() -> Op[None]:
        yield from Now()
        raise KeyboardInterrupt

    step = Stepper(interrupted())
    with pytest.raises(KeyboardInterrupt):
        step.resume(None)
    assert step.ended
    with pytest.raises(ContractError, match="ended by KeyboardInterrupt"):
        _ = step.result


def test_what_is_no_operation_is_refused_in_words():
    with pytest.raises(ContractError, match="an operation is a generator, not 7"):
        Stepper(7)
    with pytest.raises(ContractError, match="an operation is a generator, not <function"):
        Stepper(two_questions)


def started() -> Op[list[object]]:
    op = two_questions()
    next(op)
    return op


def spent() -> Op[list[object]]:
    op = two_questions()
    op.close()
    return op


@pytest.mark.parametrize("op", [started(), spent()], ids=["started", "spent"])
def test_an_operation_runs_once(op):
    with pytest.raises(ContractError, match="two_questions was driven before"):
        Stepper(op)
