"""Addressing: the audience of a publication, and its recipients.

An object and its Create have the same audience (ActivityPub 6.2), and all of its members get the activity (7.1.1).
Actors in ``bto`` and ``bcc`` get it at their own inbox, and neither document names them.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from apcore.errors import ContractError
from apcore.vocab import PUBLIC, PUBLIC_FORMS, Audience

__all__ = ["Addressing", "addressing_of"]


@frozen
class Addressing:
    """The audience of a publication, as it stands in the object and in its Create."""

    audience: Audience

    @property
    def members(self) -> dict[str, list[str]]:
        """The members of both documents: ``to`` and ``cc``, and ``audience`` if there is one."""
        members = {"to": list(self.audience.to), "cc": list(self.audience.cc)}
        return members | ({"audience": list(self.audience.audience)} if self.audience.audience else {})

    @property
    def recipients(self) -> tuple[str, ...]:
        """All addresses to deliver to, each once."""
        return self.audience.everyone


def addressing_of(audience: Audience, to: Sequence[str] | None, *, followers: str) -> Addressing:
    """Return the addressing of an object with its own ``audience`` that is published ``to`` some addresses.

    Without ``to``, the object's own audience counts, and an object without one is public. With ``to``, these addresses
    are added. An object with `PUBLIC` in ``to`` goes to ``followers`` too.

    Raises:
        ContractError: ``to`` adds `PUBLIC` to an object that has an audience and is not public; or `PUBLIC` is in
            ``bto`` or ``bcc``, where it makes nothing public.
    """
    if PUBLIC in (*audience.bto, *audience.bcc):
        raise ContractError("PUBLIC is in bto or bcc of the object, where it makes nothing public: move it to to or cc")
    is_addressed = bool(audience.everyone) or audience.is_public
    if to is None:
        addresses: list[str] = [] if is_addressed else [PUBLIC]
    else:
        addresses = [PUBLIC if address in PUBLIC_FORMS else address for address in to]
    if PUBLIC in addresses and is_addressed and not audience.is_public:
        raise ContractError(
            f"to= adds PUBLIC to an object that is addressed to {', '.join(audience.everyone)[:200]}: "
            "leave out to=, or name PUBLIC in the object"
        )
    own_addresses = {*audience.to, *audience.cc, *audience.audience, *audience.bto, *audience.bcc}
    further_addresses = tuple(address for address in dict.fromkeys(addresses) if address not in own_addresses)
    audience = evolve(audience, to=(*audience.to, *further_addresses))
    # Followers in bto or bcc get the object already, and must not appear in cc.
    if PUBLIC in audience.to and followers not in own_addresses | set(further_addresses):
        audience = evolve(audience, cc=(*audience.cc, followers))
    return Addressing(audience)
