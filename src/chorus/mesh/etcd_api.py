"""The few messages of etcd's v3 API that an ordered log needs, declared by hand.

Why so: etcd's own JSON gateway needs the server's certificate to serve as a client's under mutual TLS, doubles every
byte as base64 and adds a hop; published Python clients pin old protobuf runtimes. The field numbers below are those of
etcd's `rpc.proto` and `kv.proto`, which never change within v3; fields that are not named here are skipped when read.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "etcdserverpb"
_SCALAR = {"bytes": 12, "string": 9, "int64": 3, "uint64": 4, "bool": 8, "int32": 5}  # numbers of FieldDescriptorProto
_MESSAGE, _OPTIONAL, _REPEATED = 11, 1, 3

# Message: fields as "type name=number"; a trailing * repeats. Enumerations are read and written as int32.
_MESSAGES = {
    "ResponseHeader": "uint64 cluster_id=1, uint64 member_id=2, int64 revision=3, uint64 raft_term=4",
    "KeyValue": "bytes key=1, int64 create_revision=2, int64 mod_revision=3, int64 version=4, bytes value=5",
    "RangeRequest": "bytes key=1, bytes range_end=2, int64 limit=3, int64 revision=4, bool serializable=7, "
    "bool keys_only=8",
    "RangeResponse": "ResponseHeader header=1, KeyValue kvs=2*, bool more=3, int64 count=4",
    "PutRequest": "bytes key=1, bytes value=2",
    "PutResponse": "ResponseHeader header=1",
    "RequestOp": "RangeRequest request_range=1, PutRequest request_put=2, TxnRequest request_txn=4",
    "ResponseOp": "RangeResponse response_range=1, PutResponse response_put=2, TxnResponse response_txn=4",
    "Compare": "int32 result=1, int32 target=2, bytes key=3, int64 create_revision=5, int64 mod_revision=6",
    "TxnRequest": "Compare compare=1*, RequestOp success=2*, RequestOp failure=3*",
    "TxnResponse": "ResponseHeader header=1, bool succeeded=2, ResponseOp responses=3*",
    "WatchCreateRequest": "bytes key=1, bytes range_end=2, int64 start_revision=3",
    "WatchRequest": "WatchCreateRequest create_request=1",
    "Event": "int32 type=1, KeyValue kv=2",
    "WatchResponse": "ResponseHeader header=1, int64 watch_id=2, bool created=3, bool canceled=4, "
    "int64 compact_revision=5, string cancel_reason=6, Event events=11*",
    "Member": "uint64 ID=1, string name=2, string peerURLs=3*, string clientURLs=4*",
    "MemberListRequest": "",
    "MemberListResponse": "ResponseHeader header=1, Member members=2*",
}
# Alternatives of a oneof must be written even when they are empty or zero.
_ONE_OF = {"RequestOp", "ResponseOp", "WatchRequest", "Compare"}

CREATE, MOD = 1, 2  # Compare.target
EQUAL, GREATER = 0, 1  # Compare.result

RANGE = ("/etcdserverpb.KV/Range", "RangeRequest", "RangeResponse")
PUT = ("/etcdserverpb.KV/Put", "PutRequest", "PutResponse")
TXN = ("/etcdserverpb.KV/Txn", "TxnRequest", "TxnResponse")
WATCH = ("/etcdserverpb.Watch/Watch", "WatchRequest", "WatchResponse")
MEMBERS = ("/etcdserverpb.Cluster/MemberList", "MemberListRequest", "MemberListResponse")


def _declare() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="chorus/etcd.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        one_of = name in _ONE_OF
        if one_of:
            message.oneof_decl.add(name="which")
        for text in filter(None, fields.split(", ")):
            kind, rest = text.split(" ")
            label, number = rest.split("=")
            field = message.field.add(name=label, number=int(number.rstrip("*")))
            field.label = _REPEATED if number.endswith("*") else _OPTIONAL
            field.type = _SCALAR.get(kind, _MESSAGE)
            if field.type == _MESSAGE:
                field.type_name = f".{_PACKAGE}.{kind}"
            if one_of and (field.type == _MESSAGE or label in ("create_revision", "mod_revision")):
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


_CLASSES = _declare()


def message(name: str, **fields: Any) -> Any:
    r"""Make a message of etcd's API.

    >>> message("PutRequest", key=b"k", value=b"v").SerializeToString()
    b'\n\x01k\x12\x01v'
    """
    return _CLASSES[name](**fields)


def codec(method: tuple[str, str, str]) -> dict[str, Any]:
    """Return how a gRPC method's messages are written and read."""
    _, request, response = method
    return {
        "request_serializer": _CLASSES[request].SerializeToString,
        "response_deserializer": _CLASSES[response].FromString,
    }
