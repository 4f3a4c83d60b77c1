"""HTTP in front of one engine: a request comes in, one engine call is made, an answer goes out.

routes       every route: method, path, role, handler; what tests and the description go by
app          the way of a request: caller, admission, handler, problem
verbs        what a handler may ask of the engine

The same application is served on TCP by `outlast serve` (`_server`) and on the Unix socket beside
the database (`listening`).
"""
