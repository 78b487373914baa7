"""Bounds of request fields, as the protos state them in (pismo.rpc.v1.rules)."""

import re
from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from pismo.rpc.v1.rpc_pb2 import FieldRules, rules

from servicekit.errors import FieldFault, InvalidFields

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def check_fields(message: Message) -> None:
    """Raises InvalidFields naming every field outside its bounds; nested messages are checked too."""
    faults: list[FieldFault] = []
    _collect(message, "", faults)
    if faults:
        raise InvalidFields(faults)


class _Scalar(NamedTuple):
    name: str
    required: bool
    uuid: bool
    max_bytes: int
    max: int


class _Part(NamedTuple):
    """A message or a repeated field that has a rule, or whose messages hold fields that do."""

    name: str
    repeated: bool
    rule: FieldRules
    nested: bool


class _Bounds(NamedTuple):
    """The fields of a message that are worth a look. Taken apart ahead, since every call is checked."""

    scalars: tuple[_Scalar, ...]
    parts: tuple[_Part, ...]
    choices: tuple[tuple[str, dict[str, _Part]], ...]
    """By oneof: of its messages at most one is set, so only that one is looked at."""


@cache
def _bounds(descriptor: Descriptor) -> _Bounds:
    scalars: list[_Scalar] = []
    parts: list[_Part] = []
    choices: dict[str, dict[str, _Part]] = {}
    for each in descriptor.fields:
        ruled = each.GetOptions().HasExtension(rules)
        rule = each.GetOptions().Extensions[rules]
        nested = each.message_type is not None and any(_bounds(each.message_type))
        if not ruled and not nested:
            continue
        if each.message_type is None and not each.is_repeated:
            scalars.append(_Scalar(each.name, rule.required, rule.uuid, rule.max_bytes, rule.max))
            continue
        part = _Part(each.name, each.is_repeated, rule, nested)
        if each.containing_oneof is None or rule.required:
            parts.append(part)
        else:
            choices.setdefault(each.containing_oneof.name, {})[each.name] = part
    return _Bounds(tuple(scalars), tuple(parts), tuple(choices.items()))


def _collect(message: Message, path: str, faults: list[FieldFault]) -> None:
    scalars, parts, choices = _bounds(message.DESCRIPTOR)
    for scalar in scalars:
        if fault := _fault(getattr(message, scalar.name), scalar):
            faults.append(FieldFault(path + scalar.name, fault))
    for part in parts:
        _check_part(message, part, path, faults)
    for choice, members in choices:
        chosen = message.WhichOneof(choice)
        if chosen in members:
            _check_part(message, members[chosen], path, faults)


def _fault(value: Any, scalar: _Scalar) -> str | None:
    _, required, uuid, max_bytes, maximum = scalar
    if not value:
        return "must be set" if required else None
    if uuid and not _UUID.fullmatch(value):
        return "must be a UUID such as 3f2b8c1e-9d4a-4b6f-8a57-0c1d2e3f4a5b"
    if max_bytes and (size := len(value.encode())) > max_bytes:
        return f"must be at most {max_bytes} bytes, is {size}"
    if maximum and value > maximum:
        return f"must be at most {maximum}, is {value}"
    return None


def _check_part(message: Message, part: _Part, path: str, faults: list[FieldFault]) -> None:
    name, repeated, rule, nested = part
    if repeated:
        items = getattr(message, name)
        if rule.required and not items:
            faults.append(FieldFault(path + name, "must not be empty"))
        if rule.max_items and len(items) > rule.max_items:
            faults.append(FieldFault(path + name, f"must have at most {rule.max_items} elements, has {len(items)}"))
        elif nested:
            for number, item in enumerate(items):
                _collect(item, f"{path}{name}[{number}].", faults)
    elif not message.HasField(name):
        if rule.required:
            faults.append(FieldFault(path + name, "must be set"))
    elif nested:
        _collect(getattr(message, name), f"{path}{name}.", faults)
