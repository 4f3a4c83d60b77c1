"""HTTP around one engine: a request comes in, one engine call is made, an answer goes out.

routes       every route: method, path, role, handler; what tests and the description go by
app          the way of a request: guard, access, admission, handler, problem
serving      the listening socket, uvicorn in the engine's loop, signals and the drain
"""
