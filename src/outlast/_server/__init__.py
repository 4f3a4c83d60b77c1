"""The application of `_wire` on TCP, for `outlast serve` and `outlast dev`.

guard        which Host and which Origin; the headers of every answer
access       tokens and their roles
handshakes   TLS handshakes, counted among the connections and bounded in time
serving      the listening socket, uvicorn in the engine's loop, signals and the drain
static       the dashboard's files
"""
