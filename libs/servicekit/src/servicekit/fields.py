"""Bounds of request fields, as the protos state them in (pismo.rpc.v1.rules)."""

from functools import cache
from uuid import UUID

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from pismo.rpc.v1.rpc_pb2 import FieldRules, rules

from servicekit.errors import FieldFault, InvalidFields


def check_fields(message: Message) -> None:
    """Raises InvalidFields naming every field outside its bounds; nested messages are checked too."""
    faults: list[FieldFault] = []
    _collect(message, "", faults)
    if faults:
        raise InvalidFields(faults)


@cache
def _bounded(descriptor: Descriptor) -> tuple[tuple[FieldDescriptor, FieldRules | None, bool], ...]:
    """The fields worth a look: those with rules, and messages that hold such fields."""
    found = []
    for each in descriptor.fields:
        rule = each.GetOptions().Extensions[rules] if each.GetOptions().HasExtension(rules) else None
        nested = each.message_type is not None and bool(_bounded(each.message_type))
        if rule is not None or nested:
            found.append((each, rule, nested))
    return tuple(found)


def _collect(message: Message, path: str, faults: list[FieldFault]) -> None:
    for each, rule, nested in _bounded(message.DESCRIPTOR):
        name = path + each.name
        if each.is_repeated:
            items = getattr(message, each.name)
            if rule is not None:
                if rule.required and not items:
                    faults.append(FieldFault(name, "must not be empty"))
                if rule.max_items and len(items) > rule.max_items:
                    faults.append(FieldFault(name, f"must have at most {rule.max_items} elements, has {len(items)}"))
                    continue
            if nested:
                for number, item in enumerate(items):
                    _collect(item, f"{name}[{number}].", faults)
        elif each.message_type is not None:
            if message.HasField(each.name):
                if nested:
                    _collect(getattr(message, each.name), name + ".", faults)
            elif rule is not None and rule.required:
                faults.append(FieldFault(name, "must be set"))
        elif rule is not None and (fault := _fault(getattr(message, each.name), rule)):
            faults.append(FieldFault(name, fault))


def _fault(value: object, rule: FieldRules) -> str | None:
    if not value:
        return "must be set" if rule.required else None
    if isinstance(value, str):
        if rule.uuid and not _is_uuid(value):
            return "must be a UUID such as 3f2b8c1e-9d4a-4b6f-8a57-0c1d2e3f4a5b"
        if rule.max_bytes and (size := len(value.encode())) > rule.max_bytes:
            return f"must be at most {rule.max_bytes} bytes, is {size}"
    elif isinstance(value, int) and rule.max and value > rule.max:
        return f"must be at most {rule.max}, is {value}"
    return None


def _is_uuid(value: str) -> bool:
    try:
        return str(UUID(value)) == value.lower()
    except ValueError:
        return False
