"""Every bound of the engine, with its reason.

Bounds are defined here and nowhere else, so that an operator who hits one finds its reason. Those
that `Engine.open` takes as an argument are its defaults.
"""

from __future__ import annotations

# Values and payloads.
PAYLOAD_BYTES_MAX = 2 * 1024 * 1024
"""One encoded value. Put larger data into a file or object store, and keep a reference."""

BLOB_BYTES_MIN = 32 * 1024
"""Larger payloads are stored in the blobs table, not in the journal row: small rows commit fast."""

COMPRESS_BYTES_MIN = 1024
"""Smaller payloads are not compressed: zlib would cost more time than the saved bytes are worth."""

QUERY_WORDS_MAX = 8
"""Words without a colon in a query of runs: each one is searched for in every run."""

STEP_INPUT_BYTES_MAX = 1024
"""Arguments of one step that its first record stores in readable form."""

STEP_ARGUMENT_BYTES_MAX = 256
"""One argument in readable form; for a larger one, the record names the record that holds it."""

STEP_ARGUMENT_HASHED_BYTES_MAX = 64 * 1024
"""A larger argument is not compared with recorded values; only its size is stored."""

STEP_VALUES_KNOWN_MAX = 10_000
"""Large values of one run that the arguments of its steps are compared with."""

DEPTH_MAX = 100
"""Nesting depth of one value. Deeper data is a mistake or an attack, and recursion must end."""

ERROR_TEXT_CHARS_MAX = 16_384
"""An error message in the journal; the rest is cut. Some libraries put whole bodies in it."""

TRACEBACK_CHARS_MAX = 32_768
"""A traceback in the journal; a longer one loses its middle."""

CAUSES_MAX = 8
"""Length of a stored chain of causes, because chains can be cyclic."""

SECRETS_KNOWN_MAX = 4_096
"""Distinct live `Secret`s, the newest, that texts are searched for. Each adds a search to every
error and log line: a microsecond for a message of ordinary length."""

# Names and ids.
ID_CHARS_MAX = 200
"""A run id: it is part of URLs, of child ids and of every journal row."""

NAME_CHARS_MAX = 200
"""The name of a signal, value or stream, or a dedup key."""

ATTRIBUTES_MAX = 32
"""Attributes of one run; they serve to find runs, not to store data."""

ATTRIBUTE_CHARS_MAX = 500
"""The text of one attribute."""

# Runs.
LIVE_RUNS_MAX = 10_000
"""Runs in memory; others are passivated. With more, garbage collection pauses become noticeable."""

LIVE_BYTES_MAX = 512 * 1024 * 1024
"""Journal bytes of all resident runs, an estimate of the memory that they use."""

OPERATIONS_PENDING_MAX = 10_000
"""Steps that one run may wait for at once; also the children that are checked when it is closed."""

TOKENS_OPEN_MAX = 1_000
"""Open tokens of one run: each is a row that is read when the run's next wake-up is computed."""

TOKEN_TITLE_CHARS_MAX = 500
"""The title of an approval: one line in an inbox."""

TOKEN_DETAIL_BYTES_MAX = 64 * 1024
"""The detail of an approval, as JSON: people read it, and every listing contains it."""

CANCEL_ROUNDS_MAX = 1_000
"""How often a cancellation that the code swallows is redelivered before the run is terminated."""

DRAIN_HANDLES_MAX = 250_000
"""Callbacks that a run may execute without waiting; a workflow that spins is stopped here."""

CANCEL_GRACE_SECONDS = 30.0
"""How long a cancelled run may clean up before it is terminated."""

SIGNALS_BUFFERED_MAX = 10_000
"""Unread signals of one run; further signals are refused."""

SIGNALS_BUFFERED_BYTES = 64 * 1024 * 1024
"""Their total size, in memory or in the mailbox; a single signal of any size is accepted."""

DEDUP_PAYLOAD_BYTES = 1024
"""Of a longer signal with a dedup key, a run keeps only the hash, to compare repetitions."""

UPDATES_WAITING_MAX = 1_000
"""Messages in a run's mailbox beyond which updates are refused: a caller waits for each update."""

UPDATES_RUNNING_MAX = 1_000
"""Running handlers of one run; further updates wait in the mailbox until one has finished."""

UPDATES_REFUSED_KEPT = 100
"""Updates that a run's validators rejected most recently, kept for callers at other engines."""

REASON_CHARS_MAX = 10_000
"""A reason given to cancel or terminate."""

STEP_UNWIND_SECONDS = 2.0
"""How long a coroutine step that timed out may clean up; then it is abandoned, like a thread."""

CRASHES_MAX = 3
"""Crashes without a new record that make a run a suspect; after twice as many it is parked."""

JOURNAL_RECORDS_MAX = 100_000
"""Records of one run; replay time grows with them. Beyond it the run is parked: split the work."""

# Actors.
ACTOR_MAILBOX = 1_000
"""Messages that may wait for one actor, unless its class sets another limit."""

ACTOR_ATTEMPTS = 3
"""Attempts at a message without a waiting caller, before it becomes a dead letter."""

ACTOR_RETRY_SECONDS = 0.1
"""The pause before the second attempt at such a message; it doubles with each further attempt."""

ACTOR_MAIL_MAX = 10_000
"""Messages of one actor in memory, delayed ones not counted; the others wait in the mailbox."""

ACTOR_WARY_MESSAGES = 1_000
"""After a crash, an actor records the start of this many messages, because one of them may have
caused the crash. Each costs one more commit. A mailbox rarely holds more."""

ACTOR_RETRY_SECONDS_MAX = 30.0
"""The longest such pause, because the messages behind it wait too."""

ACTOR_DEDUPS_MAX = 1_000
"""Messages with a dedup key that an actor remembers; the oldest is forgotten first."""

ACTIVATIONS_MAX = 16
"""Runs that are activated at once: while one waits for the store, others decode and start."""

ACTOR_ROWS_MAX = 10_000
"""Rows of idle actors kept in memory, so that their next message needs no read."""

ACTOR_SWEEP_SECONDS = 10.0
"""The interval at which rows of actors that have been idle for too long are looked for."""

SUPERVISOR_RESTARTS_MAX = 10
"""Failures that a supervisor answers with a restart, unless configured otherwise; the next one is
too many. A message that fails on every attempt causes one restart per attempt."""

SUPERVISOR_WITHIN = "60s"
"""The period in which a supervisor counts failures."""

SUPERVISOR_PAUSE_SECONDS = (0.1, 10.0)
"""The pause before the second restart of a member in that period, which doubles with each further
one, and the longest pause. It prevents a tight restart loop. The first restart has no pause."""

SUPERVISOR_ORDER_SECONDS = 60.0
"""How long a supervisor waits for a member to start, hold or stop. A start that takes longer has
failed; a hold or stop is abandoned, because an engine without the member's class never answers."""

SUPERVISOR_MEMBERS_MAX = 1_000
"""Members of one team: each failure rewrites the team's state. Compose larger groups from teams."""

REMINDER_SECONDS_MIN = 0.01
"""The shortest interval of a reminder: each of its messages is a commit."""

PRIORITY_MAX = 1_000_000
"""Message priorities range from minus this to this; the engine uses those outside the range."""

ERROR_CHARS_MAX = 500
"""The text of an error in a row or a dead letter."""

# The store and the writer.
JOURNAL_TAIL_RECORDS_MAX = 200_000
"""Records in the log's tail, which recovery reads. Beyond it, the oldest runs are packed."""

COMMIT_TRANSACTIONS_MAX = 2_000
"""Transactions in one group commit; it limits how long the first waits for the last."""

WRITER_QUEUE_MAX = 20_000
"""Transactions waiting for the writer; beyond it, steps and senders wait (backpressure)."""

STORE_RETRY_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0)
"""Pauses between retries while the store is full or unavailable; the last one repeats."""

VERIFIED_AT_OPEN_BYTES = 256 * 1024 * 1024
"""A database up to this size has its structure verified before use: 0.3 s for 184 MiB. A larger one
is verified in the background, and /readyz reports it."""

ROWS_VERIFIED_AT_OPEN_BYTES = 64 * 1024 * 1024
"""The same for the checksums of all rows, which take three times as long."""

READER_VERIFIES_BYTES = 16 * 1024 * 1024
"""Read-only commands verify both up to this size: listing runs must not take seconds."""

RESERVE_BYTES = 1024 * 1024
"""Disk space reserved beside the database, so that a cancel still works when the disk is full."""

STORE_LOG_BYTES = 64 * 1024 * 1024
"""Size of the write-ahead log at which a warning names the reader that prevents its reuse."""

STORE_LOOK_SECONDS = 1.0
"""How often the database files are checked for replacement while nothing is committed."""

MAILBOX_READ_MAX = 1_000
"""Messages read from a mailbox at once."""

COUNT_MAX = 100_000
"""Counting runs stops here; the count is shown before a bulk action."""

STATISTICS_RUNS_MAX = 10_000
"""Runs that statistics are made of, the newest of a query: 30 ms of work."""

LOOKUP_QUICK_SECONDS = 0.05
"""Lookups faster than this never wait behind slower ones."""

LOOKUP_SECONDS_MAX = 2.0
"""The longest lookup for one answer to a client; searching 100,000 runs takes less."""

LOOKUP_WAIT_SECONDS = 5.0
"""How long a client's lookup waits for its turn; then it is refused, to be repeated later."""

LOOKUPS_WAITING_MAX = 256
"""Waiting lookups of one client; it has at most as many requests in progress."""

LONG_LOOKUPS_WAITING_MAX = 16
"""Of these, lookups that took longer than `LOOKUP_QUICK_SECONDS`: one per client runs at a time."""

BULK_AT_ONCE = 32
"""Runs that a bulk action handles at once: enough to share commits, few enough to stop soon."""

PAGE_ROWS = 200
"""Rows of one page of a listing."""

PAGE_READ_BYTES = 4 * 1024 * 1024
"""A page of rows with values ends at the row that reaches this size: values may be large."""

STREAM_ROW_BYTES = 256 * 1024
"""Stream values written together are stored in rows of up to this size, or of one value."""

STREAM_READ_MAX = 200
"""Stream rows read at once."""

STREAM_READ_BYTES = 1024 * 1024
"""A page of stream rows ends at the row that reaches this size: values may be large."""

PRUNE_RUNS = 500
"""Closed runs that retention deletes in one transaction."""

SUMMARY_SECONDS = 0.25
"""The most that a run's row may lag behind the run; other processes read the row."""

RETENTION = "30d"
"""How long closed runs are kept."""

AUDIT_SECONDS = 90 * 86_400.0
"""How long the audit log is kept: auditors ask for a quarter."""

AUDIT_TRAFFIC_SECONDS = 7 * 86_400.0
"""The same for the routine requests of applications: start, signal, update, ask, tell, publish."""

AUDIT_TRAFFIC_ROWS = 100_000
"""Of these, the most rows kept, the newest: there may be a thousand per second."""

AUDIT_CALLER_ROWS = 100_000
"""Audit rows kept per caller, the newest: no caller can fill the disk."""

AUDIT_REASON_CHARS_MAX = 1_000
"""Characters of a reason that the audit keeps."""

AUDIT_REFUSALS_MAX = 60
"""Refused or ineffective requests of one caller per minute that the audit records."""

RETENTION_SECONDS = 60.0
"""The interval at which closed runs past their retention are deleted."""

# Leases.
SHARDS = 256
"""Leases of a shared store: the cost of renewal does not grow with the number of runs."""

LEASE_SECONDS = 15.0
"""How long a dead worker's runs wait for another worker; a crash delays them at most this long."""

# Steps.
THREADS_MAX = 32
"""Threads for `def` steps; more are added when steps wait and no thread becomes free."""

THREADS_GROW_SECONDS = 10.0
"""How long steps wait for a thread before more are added: most steps finish sooner."""

THREADS_GROWN_BY = 8
"""Threads added at a time: a step that hangs in every run must not use up memory at once."""

THREADS_GROWN_MAX = 128
"""The most threads for `def` steps: each has a stack of up to 8 MiB."""

THREADS_NAMED = 3
"""Steps holding threads that a warning names."""

PROCESS_FRAME_BYTES_MAX = 16 * 1024 * 1024
"""One message between the engine and a process worker."""

RECONCILE_SECONDS = 1.0
"""How often an engine checks a store shared with others; notifications in between may be lost."""

DRAIN_FLUSH_SECONDS = 5.0
"""The time for the last commits of a shutdown, even if steps have used up the grace time."""

DRAIN_GRACE_SECONDS = 30.0
"""How long a shutdown waits for steps in flight."""

SIGNAL_ECHO_SECONDS = 0.25
"""A second signal within this time is the same one: Ctrl-C reaches a whole process group, and the
parent process (a one-file executable, `timeout`, a container's init) may forward it as well."""

# Latency.
LAG_SECONDS_MAX = 0.25
"""If the host loop is blocked for this long, the watchdog logs the stack that blocks it."""

GC_IDLE_SECONDS = 0.02
"""The engine collects garbage after the loop was idle for this long."""

GC_THRESHOLDS = (100_000, 50, 1_000)
"""Collector thresholds while an engine is open; with 100,000 live runs, defaults stall seconds."""

PROCESS_KILL_SECONDS = 2.0
"""How long a cancelled process step may continue before its worker is killed."""

SOCKET_BACKLOG = 4_096
"""Connections waiting to be accepted on the owner's Unix socket; the kernel may allow fewer."""

SOCKET_LOOK_SECONDS = 5.0
"""How often an engine checks that its Unix socket still exists."""

SOCKET_SILENCE_SECONDS = 10.0
"""How long a command waits for any sign of life from the owner of a database."""

SHARE_SECONDS = 10.0
"""How long a process that shares a database tries to reach its owner or to get the lock: opening a
large file after a crash takes seconds."""

SHARE_SILENCE_SECONDS = 5.0
"""How long the owner may take to commit for a sharing process; then the outcome is unknown."""

SHARED_COMMIT_BYTES_MAX = 256 * 1024 * 1024
"""The largest batch that a sharing process sends its owner; ordinary use cannot produce a larger
one. The process runs as the same user and could as well write the file."""

SHARED_CHANGES_MAX = 20_000
"""Changed runs queued for one sharing process; with more, it checks all runs that it waits for."""

# The server.
HTTP_BODY_BYTES_MAX = 4 * 1024 * 1024
"""One request's body: a value of the largest size, as JSON with its escapes."""

HTTP_STRANGER_BYTES_MAX = 1_000
"""The body of a request without a valid token: the code of a sign-in link is shorter."""

HTTP_CHUNK_BYTES_MIN = 256
"""Average size of a body's chunks after the first 200: each costs the event loop at least 10 us."""

HTTP_NODES_MAX = 200_000
"""Values in one body, counted before decoding: 4 MB of `{}` blocked the server for seconds."""

HTTP_PAGE_BYTES = 1024 * 1024
"""A page of an answer ends at the item with which its stored size reaches this."""

HTTP_VALUE_BYTES = 16 * 1024
"""For a larger value, pages and the view of a run contain its beginning and its address."""

HTTP_PREVIEW_BYTES = 1_000
"""The size of that beginning, as JSON."""

HTTP_DIFF_BYTES = 8 * 1024 * 1024
"""Values of one run in a comparison; `HTTP_BODIES_BYTES_MAX` limits all comparisons together."""

HTTP_INLINE_BYTES = 32 * 1024
"""Larger bodies, values and pages are converted in a thread, not on the event loop."""

HTTP_HEADER_BYTES_MAX = 32 * 1024
"""The head of one request; a larger one is refused before it is parsed."""

HTTP_HEADERS_MAX = 100
"""Headers of one request: each costs time on the event loop before the caller is authenticated."""

HTTP_LINE_BYTES_MAX = 16 * 1024
"""The path and query of one request: the longest ids and queries need less."""

HTTP_HEAD_SECONDS = 10.0
"""How long a client may take to send the head of a request; then its connection is closed."""

HTTP_BODY_SECONDS = 30.0
"""How long a client may take to send a body."""

HTTP_CONNECTIONS_MAX = 4_000
"""Open connections of one server; fewer if the process may open fewer files, less
`HTTP_FILES_KEPT`. Each uses a descriptor and about 20 KiB. A further connection replaces an idle
one: the one that has been idle longest, of the address with the most connections."""

HTTP_FILES_KEPT = 256
"""File descriptors reserved for the rest of the process: the database, workers, the program."""

HTTP_SHARE_MAX = 0.75
"""The largest share of connections, places, streams and bodies for one address. An IPv6 address
counts as its network (/64); all loopback addresses count as one."""

HTTP_TOKEN_SHARE_MAX = 0.5
"""The largest share of the last three for one API token; others at its address keep the rest."""

HTTP_REQUESTS_AHEAD_MAX = 16
"""Pipelined requests on one connection behind the one in progress."""

HTTP_BODIES_BYTES_MAX = 64 * 1024 * 1024
"""Bodies of all requests together, from arrival to answer."""

HTTP_UNTAKEN_BYTES = 64 * 1024 * 1024
"""Unsent answers, and as many unsent events; beyond it the slowest clients are disconnected."""

HTTP_UNSENT_BYTES = 128 * 1024
"""Unsent bytes that the kernel buffers for one TCP client (Linux, macOS)."""

HTTP_WAIT_SECONDS_MAX = 300.0
"""How long one request may wait for a run's end or an actor's answer."""

HTTP_PAGE_MAX = 1_000
"""Items of one page."""

QUERY_CHARS_MAX = 2_000
"""Length of a query of runs."""

HTTP_REQUESTS_MAX = 128
"""Concurrent requests, without streams and waits: more do not make the disk faster."""

HTTP_QUEUE_MAX = 256
"""Requests waiting for a place; the next one is refused at once."""

HTTP_QUEUE_SECONDS = 1.0
"""How long a request waits for a place; a client that waits longer has mostly given up."""

HTTP_WAITS_MAX = 2_000
"""Requests that only wait, for a run's end or an actor's answer."""

LOGIN_FAILURES_MAX = 10
"""Invalid tokens from one address within `LOGIN_SECONDS` that are logged and answered with 401;
further ones get 429. A valid token is always accepted, whatever its address has sent before."""

LOGIN_SECONDS = 60.0
"""The period in which invalid tokens are counted."""

SIGN_IN_CODE_SECONDS = 600.0
"""How long the link that `outlast dev` prints is valid, if it is not used before."""

SIGN_IN_CODES_MAX = 64
"""Sign-in codes that a server remembers; it cannot tell an older used code from an unknown one."""

METRIC_WORKFLOWS_MAX = 200
"""Workflows with metrics of their own, five series at most; the others are counted together."""

SSE_CLIENTS_MAX = 3_000
"""Open streams of one server."""

SSE_HEARTBEAT_SECONDS = 10.0
"""The interval of comments on an idle stream, which keep proxies open and detect dead clients."""

SSE_READS_MAX = 32
"""Stream clients that read the store at once, each until it has received what was read."""

SSE_RING_BYTES = 256 * 1024
"""Encoded events of one stream in memory; a client further behind reads the store."""

SSE_PAGE_RING_BYTES = 1024 * 1024
"""The same of a stream in a protocol of web pages, which is translated again from its beginning."""

SSE_WRITE_SECONDS = 20.0
"""How long a client may accept no bytes; then its connection is closed."""

FEED_EVENTS_MAX = 1_000
"""Missed events of the live feed after which a client can still resume without reading again."""

FEED_SECONDS = 0.1
"""How long the live feed collects changes of runs before it sends them."""

LOG_FILE_BYTES_MAX = 16 * 1024 * 1024
"""One file of a server's log; there are two, and the older one is replaced."""

LOG_LOOK_SECONDS = 0.3
"""How often `outlast logs --follow` checks for new lines: a file sends no notification."""

HISTORY_SECONDS = 5.0
"""The interval between two points of the server's own metrics."""

HISTORY_POINTS = 720
"""Points kept: one hour."""
