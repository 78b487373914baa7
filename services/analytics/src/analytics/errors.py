"""How analytics' errors are answered. It has none of its own: fields out of bounds are the chassis's to answer."""

from pismo.rpc.v1.rpc_pb2 import ErrorReason
from servicekit.errors import ErrorTable

TABLE = ErrorTable(ErrorReason, {})
