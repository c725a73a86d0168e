"""Check every state of `Stepper`, on which every driver is built."""

import pytest

from apcore.drivers import Stepper
from apcore.effects import Effect, Now, Op, RandomBytes
from apcore.errors import ContractError, QueueUnavailable


def two_effects() -> Op[list[object]]:
    first = yield from Now()
    second = yield from RandomBytes(2)
    return [first, second]


def no_effect() -> Op[str]:
    return "at once"
    yield from Now()


def raises_at_once() -> Op[None]:
    raise KeyError("first step")
    yield from Now()


def catch_unavailable() -> Op[str]:
    try:
        yield from Now()
    except QueueUnavailable as error:
        return str(error)
    return "no error"


def test_stepper_goes_from_effect_to_effect_to_the_result():
    step = Stepper(two_effects())
    assert step.wants == Now()
    assert not step.ended
    step.resume("noon")
    assert step.wants == RandomBytes(2)
    assert not step.ended
    step.resume(b"ab")
    assert step.wants is None
    assert step.ended
    assert step.result == ["noon", b"ab"]


def test_operation_without_effects_ends_in_the_constructor():
    step = Stepper(no_effect())
    assert (step.wants, step.ended, step.result) == (None, True, "at once")


def test_error_before_the_first_effect_comes_out_of_the_constructor():
    with pytest.raises(KeyError, match="first step"):
        Stepper(raises_at_once())


def test_error_is_thrown_in_at_the_yield():
    step = Stepper(catch_unavailable())
    step.fail(QueueUnavailable("later"))
    assert step.result == "later"


def test_uncaught_error_is_raised_by_fail_and_by_result():
    step = Stepper(two_effects())
    with pytest.raises(QueueUnavailable, match="later"):
        step.fail(QueueUnavailable("later"))
    assert step.ended
    assert step.wants is None
    with pytest.raises(QueueUnavailable, match="later"):
        _ = step.result


def test_operation_under_way_has_no_result():
    with pytest.raises(ContractError, match="waits for Now"):
        _ = Stepper(two_effects()).result


@pytest.mark.parametrize(
    "answer", [lambda step: step.resume(1), lambda step: step.fail(KeyError())], ids=["resume", "fail"]
)
def test_ended_operation_takes_no_answer(answer):
    step = Stepper(no_effect())
    with pytest.raises(ContractError, match="has ended"):
        answer(step)
    assert step.result == "at once"


def test_close_runs_the_finally_blocks_and_ends():
    ran = []

    def finally_records() -> Op[None]:
        try:
            yield from Now()
        finally:
            ran.append("finally")

    step = Stepper(finally_records())
    step.close()
    step.close()
    assert (ran, step.wants, step.ended) == (["finally"], None, True)
    with pytest.raises(ContractError, match="closed before it ended"):
        _ = step.result
    with pytest.raises(ContractError, match="has ended"):
        step.resume(None)


def test_close_of_an_ended_operation_keeps_its_result():
    step = Stepper(no_effect())
    step.close()
    assert step.result == "at once"


def yields_while_closing() -> Op[None]:
    try:
        yield from Now()
    finally:
        yield from RandomBytes(1)


def nested_yields_while_closing() -> Op[None]:
    yield from yields_while_closing()


@pytest.mark.parametrize("op", [yields_while_closing, nested_yields_while_closing])
def test_effect_in_a_finally_block_is_a_contract_error(op):
    with pytest.raises(ContractError, match="while it was being closed"):
        Stepper(op()).close()


def test_finally_block_may_raise_its_own_runtime_error():
    def raises_in_finally() -> Op[None]:
        try:
            yield from Now()
        finally:
            raise RuntimeError("my own")

    with pytest.raises(RuntimeError, match="my own"):
        Stepper(raises_in_finally()).close()


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


def test_interrupt_passes_through_and_ends_the_operation():
    def interrupted() -> Op[None]:
        yield from Now()
        raise KeyboardInterrupt

    step = Stepper(interrupted())
    with pytest.raises(KeyboardInterrupt):
        step.resume(None)
    assert step.ended
    with pytest.raises(ContractError, match="ended by KeyboardInterrupt"):
        _ = step.result


def test_argument_other_than_an_operation_is_refused():
    with pytest.raises(ContractError, match="an operation is a generator, not 7"):
        Stepper(7)
    with pytest.raises(ContractError, match="an operation is a generator, not <function"):
        Stepper(two_effects)


def started_operation() -> Op[list[object]]:
    op = two_effects()
    next(op)
    return op


def closed_operation() -> Op[list[object]]:
    op = two_effects()
    op.close()
    return op


@pytest.mark.parametrize("op", [started_operation(), closed_operation()], ids=["started", "closed"])
def test_operation_runs_once(op):
    with pytest.raises(ContractError, match="two_effects was driven before"):
        Stepper(op)
