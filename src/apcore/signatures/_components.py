"""Compute the components of a request (RFC 9421 §2): derived components, and fields with their parameters.

A component has a name and parameters, and `Message` returns its value or refuses. Components that the RFC forbids in a
request (`@status`, `req`, `tr`) and unregistered ones are refused by name: a component that one side skips would not be
signed.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qsl, quote

from apcore.errors import RequestError
from apcore.http.fields import (
    BareItem,
    Item,
    StructuredMember,
    parse_dictionary,
    parse_item,
    parse_list,
    serialize_dictionary,
    serialize_item,
    serialize_list,
)
from apcore.http.messages import Request
from apcore.signatures._parts import Target, field_values
from apcore.signatures.errors import ComponentMissing, SignatureMalformed

__all__ = ["Message", "counted_names", "identifier"]

_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_QUERY_FIELDS_MAX: Final = 1000

# The structured fields that a signature may cover strictly (RFC 9421 §2.1.1).
_STRUCTURED: Final[Mapping[str, Callable[[str], str]]] = {
    **dict.fromkeys(
        (
            "accept-signature",
            "cache-status",
            "content-digest",
            "priority",
            "repr-digest",
            "signature",
            "signature-input",
            "want-content-digest",
            "want-repr-digest",
        ),
        lambda value: serialize_dictionary(parse_dictionary(value, duplicates="refuse")),
    ),
    **dict.fromkeys(("accept-ch", "proxy-status"), lambda value: serialize_list(parse_list(value))),
    **dict.fromkeys(("client-cert", "signature-key"), lambda value: serialize_item(parse_item(value))),
}


def identifier(component: Item) -> str:
    """Return a component's name and parameters as they appear in the signature base."""
    # Nearly all components have no parameters, and a checked name needs no escaping.
    return serialize_item(component) if component.parameters else f'"{component.value!s}"'


def counted_names(components: tuple[Item, ...]) -> list[str]:
    """Return the names that count for a policy's coverage.

    A field counts if its whole value is bound. `Content-Digest` also counts if only a trusted digest in it is bound,
    since that binds the body.
    """
    counted: list[str] = []
    for component in components:
        parameters = component.parameters
        if set(parameters) <= {"sf", "bs"} or (
            component.value == "content-digest"
            and set(parameters) == {"key"}
            and parameters["key"] in {"sha-256", "sha-512"}
        ):
            counted.append(str(component.value))
    return counted


class Message:
    """A request as a source of component values."""

    __slots__ = ("request", "target", "values")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.target = Target(request.url)
        self.values = field_values(request)

    def line(self, component: Item) -> str:
        """Return the line of the signature base for ``component``.

        Raises:
            SignatureMalformed: The component does not exist, or not with these parameters.
            ComponentMissing: The request does not have it.
        """
        name, parameters = component.value, component.parameters
        if not isinstance(name, str):
            raise SignatureMalformed(f"covered component {name!r} is not a string")
        value = self._derived(name, parameters) if name.startswith("@") else self._field(name, parameters)
        return f"{identifier(component)}: {value}"

    def _derived(self, name: str, parameters: Mapping[str, BareItem]) -> str:
        target = self.target
        if name == "@query-param":
            return self._query_parameter(parameters)
        if parameters:
            raise SignatureMalformed(f"component {name} must not have these parameters in a request")
        match name:
            case "@method":
                return self.request.method
            case "@target-uri":
                # RFC 9421 §2.2.2. An empty path is sent as a slash.
                return f"{target.prefix}{target.path}{target.query}"
            case "@authority":
                return target.authority
            case "@scheme":
                return target.scheme
            case "@request-target":
                return target.path + target.query
            case "@path":
                return target.path
            case "@query":
                # RFC 9421 §2.2.7: a request without a query still has a question mark here.
                return target.query or "?"
            case "@status":
                raise ComponentMissing("the signature covers @status, which a request does not have")
            case _:
                raise SignatureMalformed(f"component {name[:40]!r} does not exist")

    def _query_parameter(self, parameters: Mapping[str, BareItem]) -> str:
        parameter_name = parameters.get("name")
        if set(parameters) != {"name"} or not isinstance(parameter_name, str):
            raise SignatureMalformed("component @query-param takes exactly one parameter, name")
        try:
            pairs = parse_qsl(
                self.target.query[1:], keep_blank_values=True, errors="replace", max_num_fields=_QUERY_FIELDS_MAX
            )
        except ValueError as exc:
            raise ComponentMissing(f"a query of more than {_QUERY_FIELDS_MAX} parameters") from exc
        values = [_form_encoded(value) for name, value in pairs if _form_encoded(name) == parameter_name]
        if len(values) != 1:
            # RFC 9421 §2.2.8: a parameter that occurs more than once cannot be covered.
            raise ComponentMissing(
                f"the query has {len(values)} parameters {parameter_name[:40]!r}, expected exactly one"
            )
        return values[0]

    def _field(self, name: str, parameters: Mapping[str, BareItem]) -> str:
        if _FIELD_NAME.fullmatch(name) is None:
            raise SignatureMalformed(f"covered component {name[:40]!r} is not a field name in lower case")
        if name not in self.values:
            raise ComponentMissing(f"the signature covers {name}, which the message does not have")
        if not parameters:
            return self.values[name]
        if "tr" in parameters or "req" in parameters:
            raise ComponentMissing(f"the signature covers {name} of a trailer or another message")
        if not set(parameters) <= {"sf", "key", "bs"} or ("bs" in parameters and len(parameters) > 1):
            raise SignatureMalformed(f"component {name} has unknown or contradictory parameters")
        if any(parameters.get(flag, True) is not True for flag in ("sf", "bs")):
            raise SignatureMalformed(f"component {name} has a flag with a value")
        return self._transformed(name, parameters)

    def _transformed(self, name: str, parameters: Mapping[str, BareItem]) -> str:
        if "bs" in parameters:
            # RFC 9421 §2.1.3: each line is encoded alone, so that joined lines cannot be ambiguous.
            lines = self.request.headers.get_all(name) or (self.values[name],)
            return ", ".join(f":{b64encode(line.encode('latin-1')).decode('ascii')}:" for line in lines)
        try:
            if "key" in parameters:
                # A list with one entry is serialized as that entry, item or inner list.
                return serialize_list((self._member(name, parameters["key"]),))
            if name in _STRUCTURED:
                return _STRUCTURED[name](self.values[name])
        except (RequestError, ValueError) as exc:
            raise SignatureMalformed(f"field {name} is covered as a structured field, but is not one: {exc}") from exc
        # RFC 9421 §2.1.1: a verifier must not guess the type of a field that it does not know.
        raise ComponentMissing(f"field {name} is covered as a structured field of an unknown type")

    def _member(self, name: str, key: BareItem) -> StructuredMember:
        members = parse_dictionary(self.values[name], duplicates="refuse")
        if not isinstance(key, str) or key not in members:
            raise ComponentMissing(f"the signature covers a member of {name} that it does not have")
        return members[key]


def _form_encoded(text: str) -> str:
    # The application/x-www-form-urlencoded percent-encode set of the URL standard; a space is %20 here, not a plus.
    return quote(text, safe="*").replace("~", "%7E")
