"""One connection: who is slow to ask is hung up on, and who takes nothing can be cut.

Uvicorn limits how long a connection may rest between requests, but not how long the head of a
request may take or how large it may be, how many requests are sent ahead, how long an answer may
stay untaken, nor how many connections there are.
"""

from __future__ import annotations

import asyncio
import ipaddress
import resource
from collections import Counter
from collections.abc import Callable, Sized
from typing import ClassVar, Literal

import h11
from typing_extensions import override
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from outlast import limits
from outlast._wire.security.weighing import BodyWeight, Cycle
from outlast._world import Timer, World

Client = tuple[str, int] | None
_State = Literal["rests", "sends", "works"]


class Connections:
    """The open connections of one server, by their clients' addresses.

    When there are as many as can be, who asks for nothing yields to who comes: of the address with
    the most connections, the one that has rested longest, then the one that sends its request
    slowest. Connections with a request in work are not touched.
    """

    def __init__(self, world: World, *, by_address: bool = False) -> None:
        self.world = world
        self.transports: dict[Client, asyncio.Transport] = {}
        self._by_address = by_address  # each has but a share
        self._count = 0
        self._places: dict[Client, str] = {}
        self._held: Counter[str] = Counter()
        # By place, the longest so first.
        self._yielding: dict[_State, dict[str, dict[Client, None]]] = {"rests": {}, "sends": {}}

    def next_local(self) -> Client:
        """Return what stands for the address of a client on a Unix socket."""
        self._count += 1
        return "local", self._count

    def enter(self, client: Client, transport: asyncio.Transport) -> bool:
        """Take a connection among the open ones, if there is room or somebody yields."""
        if client in self.transports:  # its TLS handshake is done
            self.transports[client] = transport
            return True
        place, most = place_of(client), connections_max()
        share = limits.HTTP_SHARE_MAX if self._by_address else 1.0
        if self._held[place] >= max(1, int(most * share)):
            has_room = self._hang_up_on([place])
        else:
            has_room = len(self.transports) < most or self._hang_up_on(
                [known for known, _ in self._held.most_common()]
            )
        if not has_room:
            return False
        self.transports[client] = transport
        self._places[client] = place
        self._held[place] += 1
        self.note(client, "rests")
        return True

    def _hang_up_on(self, places: list[str]) -> bool:
        for state in self._yielding:
            for place in places:
                for client in self._yielding[state].get(place, ()):
                    self.cut(client)
                    self.leave(client)
                    return True
        return False

    def note(self, client: Client, state: _State) -> None:
        """Note what a connection does now."""
        place = self._places.get(client)
        if place is None:
            return
        for known, places in self._yielding.items():
            if known == state:
                places.setdefault(place, {}).setdefault(client)
            elif place in places:
                places[place].pop(client, None)
                if not places[place]:
                    del places[place]

    def leave(self, client: Client) -> None:
        """Count a connection no more."""
        self.note(client, "works")
        self.transports.pop(client, None)
        place = self._places.pop(client, None)
        if place is not None:
            self._held[place] -= 1
            if not self._held[place]:
                del self._held[place]

    def cut(self, client: Client) -> None:
        """End a connection now, whatever is still to be sent."""
        transport = self.transports.get(client)
        if transport is not None:
            transport.abort()

    def cut_all(self) -> None:
        """End all connections now."""
        for transport in list(self.transports.values()):
            transport.abort()


def connections_max() -> int:
    """Return how many connections there may be: fewer where the process may open few files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return limits.HTTP_CONNECTIONS_MAX
    return max(1, min(limits.HTTP_CONNECTIONS_MAX, files - limits.HTTP_FILES_KEPT))


def place_of(client: Client) -> str:
    """Return where a client is, as shares are counted: its address, of IPv6 the network.

    All addresses of a loopback network are one machine, and whoever has one IPv6 address has 2^64.
    """
    host = "" if client is None else client[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    if address.is_loopback:
        return "loopback"
    if isinstance(address, ipaddress.IPv6Address):
        return f"{ipaddress.ip_network((int(address), 64), strict=False)}"
    return f"{address}"


class HeadWatch:
    """Watches one connection while it has not sent the whole head, or not taken its answer."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._timer: Timer | None = None
        self._unsent_timer: Timer | None = None
        self._size = 0
        self.is_refused = False

    def made(self, transport: asyncio.Transport, client: Client) -> None:
        """Begin, unless there are too many connections."""
        self._transport = transport
        if not self._connections.enter(client, transport):
            self.is_refused = True
            transport.abort()
            return
        self._begin()

    def _begin(self) -> None:
        self._size = 0
        if self._timer is None:
            world = self._connections.world
            self._timer = world.call_later(limits.HTTP_HEAD_SECONDS, self._too_slow)

    def received(self, size: int, *, has_request: bool) -> None:
        """Count bytes that came, after the parser has seen them."""
        if has_request:
            self._end()
            return
        if self._timer is None:
            self._begin()
        self._size += size
        if self._size > limits.HTTP_HEADER_BYTES_MAX:
            self.refuse(_TOO_LARGE)

    def refuse(self, answer: bytes) -> None:
        """Answer what is no request, and hang up."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)
            self._transport.close()
        self._end()

    def linger(self) -> None:
        """Take no more of a request that is answered, nor let its answer be lost by hanging up.

        Closing a socket that has unread bytes resets it, and the client may never see the answer.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not transport.can_write_eof():  # TLS
            transport.close()
            return
        transport.write_eof()
        transport.resume_reading()
        self._end()
        self._begin()

    def answered(self, before: int | None = None) -> None:
        """Hang up on a client that has taken nothing of its answer since it had `before` to take.

        Streams are looked after by themselves.
        """
        self._unsent_timer = None
        transport = self._transport
        unsent = 0 if transport is None else transport.get_write_buffer_size()
        if transport is None or not unsent:
            return
        if before is not None and unsent >= before:
            transport.abort()
            return
        world = self._connections.world
        self._unsent_timer = world.call_later(limits.SSE_WRITE_SECONDS, self.answered, unsent)

    def _too_slow(self) -> None:
        self._timer = None
        if self._transport is not None:
            self._transport.abort()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def lost(self, client: Client) -> None:
        """The connection is gone."""
        self._end()
        if self._unsent_timer is not None:
            self._unsent_timer.cancel()
        if not self.is_refused:
            self._connections.leave(client)


_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


_MALFORMED = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n"
    b"content-length: 78\r\n\r\n"
    b"the head has a line that ends in a bare LF or CR, or that goes on in the next\n"
)


_TINY_CHUNKS = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n"
    b"content-length: 87\r\n\r\n"
    b"the body comes in chunks too small to be read one by one: send it in some KB at a time\n"
)


class Watched(asyncio.Protocol):
    """What is put before uvicorn's own protocol, whichever that is."""

    watched_by: ClassVar[Connections]  # `connections` is taken by uvicorn
    transport: asyncio.Transport
    cycle: Cycle | None
    client: Client = None
    _client: Client = None
    _watch: HeadWatch
    _weight: BodyWeight
    _held: bytes = b""  # what follows a request in work, while h11 reads no further
    _is_over: bool = False  # it has its last answer; what still comes is not looked at
    _left_bytes: int = limits.HTTP_BODY_BYTES_MAX

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._watch = HeadWatch(self.watched_by)
        self._weight = BodyWeight()
        if self.client is None:
            self.client = self.watched_by.next_local()  # that of a Unix socket has no address
        self._client = self.client
        self._watch.made(transport, self._client)  # type: ignore[arg-type]  # the same

    @override
    def data_received(self, data: bytes) -> None:
        if self._is_over:
            self._left_bytes -= len(data)
            if self._left_bytes < 0:
                self.watched_by.cut(self._client)
            return
        begin = 0
        while begin < len(data):
            if self._state_of_h11() is h11.DONE and not self._has_answered():
                # It would read all of this at once, when the request in work is answered.
                self._held += data[begin:]
                self.transport.pause_reading()
                break
            part = data[begin : begin + self._weight.step()]
            begin += len(part)
            if not self._feed(part):
                return
        state = self._note()
        self._watch.received(len(data), has_request=state != "rests")

    def _feed(self, part: bytes) -> bool:
        """Have a part read; False when nothing more of what has come is to be."""
        fault = self._fault_of_next_head(part, h11.IDLE)
        if fault:
            self._watch.refuse(fault)
            return False
        before = self.cycle
        held = len(before.body) if before is not None else 0
        super().data_received(part)
        if self.transport.is_closing():
            return False
        state = self._state_of_h11()
        if state is not None:
            self._weight.is_whole = state is not h11.SEND_BODY
        headers: object = getattr(self, "headers", ())
        if isinstance(headers, Sized) and len(headers) > limits.HTTP_HEADERS_MAX:
            self._watch.refuse(_TOO_LARGE)
            return False
        ahead: object = getattr(self, "pipeline", ())
        if isinstance(ahead, Sized) and len(ahead) > limits.HTTP_REQUESTS_AHEAD_MAX:
            self.watched_by.cut(self._client)
            return False
        cycle = self.cycle
        if cycle is None:
            return True
        if cycle is not before:
            self._weight.begin(cycle)
        elif self._weight.is_whole:
            return True
        elif cycle.response_complete:
            if self._weight.is_unwanted(len(part)):
                self._linger()
                return False
        elif self._weight.is_too_much(len(part), len(cycle.body) - held):
            self._refuse_body(cycle, has_others=bool(ahead))
            return False
        return True

    def _refuse_body(self, cycle: Cycle, *, has_others: bool) -> None:
        if cycle.response_started or has_others:  # this answer would be taken for another one
            self.watched_by.cut(self._client)
            return
        cycle.disconnected = True  # as uvicorn says to whoever reads it
        cycle.message_event.set()
        self.transport.write(_TINY_CHUNKS)
        self._linger()

    def _linger(self) -> None:
        self._is_over = True
        self._watch.linger()
        self.watched_by.note(self._client, "rests")

    def _has_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _state_of_h11(self) -> object:
        parser: object = getattr(self, "conn", None)
        return parser.their_state if isinstance(parser, h11.Connection) else None

    def on_message_complete(self) -> None:
        """As the parser in C calls it, when all of a request has come."""
        self._weight.is_whole = True
        then: Callable[[], None] | None = getattr(super(), "on_message_complete", None)
        if then is not None:
            then()

    def _note(self) -> _State:
        cycle = self.cycle
        state: _State = "works"
        if cycle is None or cycle.response_complete:
            state = "rests"
        elif getattr(cycle, "more_body", False):
            state = "sends"
        self.watched_by.note(self._client, state)
        return state

    def _fault_of_next_head(self, data: bytes, state: type[h11.IDLE | h11.DONE]) -> bytes:
        """Return what is answered to a head that has too many lines, or may mean two things.

        h11 reads each line in Python, ten times as long as the parser in C. It also takes lines
        that end in a bare LF, and values that go on in the next line (RFC 9112, 2.2 and 5.2):
        whoever is in front of us may see other headers. The parser in C takes neither.
        """
        parser: object = getattr(self, "conn", None)
        if not isinstance(parser, h11.Connection) or parser.their_state is not state:
            return b""
        head = (parser.trailing_data[0] + data).partition(b"\r\n\r\n")[0]
        lines = head.count(b"\r\n")
        if lines > limits.HTTP_HEADERS_MAX:
            return _TOO_LARGE
        is_folded = b"\r\n " in head or b"\r\n\t" in head
        is_loose = (
            is_folded
            or head.count(b"\n") != lines
            or head.removesuffix(b"\r").count(b"\r") != lines
        )
        return _MALFORMED if is_loose else b""

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: that a client asks for another protocol is not an error here."""

    def on_response_complete(self) -> None:
        """As uvicorn calls it, when the last of an answer is on its way."""
        fault = self._fault_of_next_head(b"", h11.DONE)
        if fault:
            self._watch.refuse(fault)
        then: Callable[[], None] | None = getattr(super(), "on_response_complete", None)
        if then is not None:
            then()
        held, self._held = self._held, b""
        if held:
            self.data_received(held)
        self._note()
        self._watch.answered()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.lost(self._client)
        super().connection_lost(exc)


def protocol_class(connections: Connections) -> type[asyncio.Protocol]:
    """Return what uvicorn makes for each connection: with the parser in C where it is there."""
    bases = (Watched, AutoHTTPProtocol)
    made: type[asyncio.Protocol] = type("Connection", bases, {"watched_by": connections})
    return made
