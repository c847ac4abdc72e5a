"""Who is heard: callers that show the token, before their message is read."""

import hmac
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import grpc

from fedcredit.custodian.address import TOKEN_KEY

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")
_HEALTH_CHECK = "/grpc.health.v1.Health/Check"


class TokenGate(grpc.ServerInterceptor):
    """Hears only callers that show the token, and tells anybody else whether it serves.

    A call without it is turned away, or told, before its message is read: a message that never came would hold a
    thread for as long as its sender likes.

    Parameters
    ----------
    token
        Hex digits.
    on_rejected
        Told of each call that is turned away.
    health
        Bytes of the answer to a health check.
    """

    def __init__(
        self, token: str, on_rejected: Callable[[], None], health: Callable[[grpc.ServicerContext], bytes]
    ) -> None:
        self._token, self._on_rejected = token.encode(), on_rejected
        self._refusal: Any = grpc.stream_unary_rpc_method_handler(self._turn_away)
        self._health: Any = grpc.stream_unary_rpc_method_handler(lambda _, context: health(context))

    def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Asked, Answered] | None]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Asked, Answered] | None":
        """Pass a call on, or turn it away."""
        metadata = dict(handler_call_details.invocation_metadata or ())
        shown = metadata.get(TOKEN_KEY, "")
        shown = shown if isinstance(shown, bytes) else shown.encode()
        if hmac.compare_digest(shown, self._token):
            return continuation(handler_call_details)
        unread: grpc.RpcMethodHandler[Asked, Answered] = self._refusal
        if handler_call_details.method == _HEALTH_CHECK:
            unread = self._health
        return unread

    def _turn_away(self, _request: Iterable[bytes], context: grpc.ServicerContext) -> bytes:
        self._on_rejected()
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "no valid token")
