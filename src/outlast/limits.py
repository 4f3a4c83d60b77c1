"""Every bound of the engine, with its reason.

A bound is here, and nowhere else, so that the person who meets one at night finds why it is
what it is. Those that `Engine.open` takes as an argument are its defaults.
"""

from __future__ import annotations

# Values and payloads.
PAYLOAD_BYTES_MAX = 2 * 1024 * 1024
"""One encoded value. Larger things belong in a file or object store, by reference."""

BLOB_BYTES_MIN = 32 * 1024
"""Payloads from here on leave the journal row for the blobs table: small rows keep commits fast."""

COMPRESS_BYTES_MIN = 1024
"""Below this zlib costs more time than the bytes it saves are worth."""

QUERY_WORDS_MAX = 8
"""Words without a colon in a query of runs: each is looked for in every run."""

STEP_INPUT_BYTES_MAX = 1024
"""The arguments of one step that its first record writes out, for people to look at."""

STEP_ARGUMENT_BYTES_MAX = 256
"""One argument that is written out; of a larger one the record says which record has it."""

STEP_ARGUMENT_HASHED_BYTES_MAX = 64 * 1024
"""A larger argument is not compared with what is recorded: only its size is."""

STEP_VALUES_KNOWN_MAX = 10_000
"""Large values of one run that arguments of its steps are compared with."""

DEPTH_MAX = 100
"""Nesting of one value. Deeper data is a mistake or an attack, and recursion must end somewhere."""

ERROR_TEXT_CHARS_MAX = 16_384
"""An error message in the journal; more is cut, since some libraries put whole bodies in it."""

TRACEBACK_CHARS_MAX = 32_768
"""A traceback in the journal; the middle of a longer one is cut."""

CAUSES_MAX = 8
"""Length of a stored chain of causes; chains can be cyclic."""

SECRETS_KNOWN_MAX = 4_096
"""Different secrets of living `Secret`s that texts are searched for, the newest: each costs every
error and log line a search, a microsecond on a message of ordinary length."""

# Names and ids.
ID_CHARS_MAX = 200
"""A run id: it stands in urls, in child ids and in every journal row."""

NAME_CHARS_MAX = 200
"""A name of a signal, value, stream or dedup key."""

RUN_LIGHT_BYTES = 32 * 1024
"""Runs with a larger input, actors with a larger state, begin one in a turn of the event loop."""

ATTRIBUTES_MAX = 32
"""Attributes of one run; they are for finding runs, not for data."""

ATTRIBUTE_CHARS_MAX = 500
"""The text of one attribute."""

# Runs.
LIVE_RUNS_MAX = 10_000
"""Runs in memory; the rest are passivated. Beyond this the garbage collector's pauses grow."""

LIVE_BYTES_MAX = 512 * 1024 * 1024
"""Journal bytes that resident runs hold in memory, a proxy for their state."""

OPERATIONS_PENDING_MAX = 10_000
"""Steps that one run may wait for at once; also the children looked at when it is closed."""

TOKENS_OPEN_MAX = 1_000
"""Open tokens of one run: each is a row, and looked at whenever the run's next wake is."""

TOKEN_TITLE_CHARS_MAX = 500
"""The title of an approval: one line in an inbox."""

TOKEN_DETAIL_BYTES_MAX = 64 * 1024
"""What an approval is about, as JSON: people read it, and it travels with every listing."""

CANCEL_ROUNDS_MAX = 1_000
"""How often one quiet moment re-delivers a cancellation that the code swallows; then terminate."""

DRAIN_HANDLES_MAX = 1_000_000
"""Callbacks in one drain of a run: a workflow that spins without waiting is stopped here."""

CANCEL_GRACE_SECONDS = 30.0
"""How long a cancelled run may clean up before it is terminated."""

SIGNALS_BUFFERED_MAX = 10_000
"""Unread signals of one run; senders are refused beyond it."""

SIGNALS_BUFFERED_BYTES = 64 * 1024 * 1024
"""What these may hold together, in memory or in the mailbox; however large, one is taken."""

DEDUP_PAYLOAD_BYTES = 1024
"""Of a longer signal a run keeps the hash, to tell whether one of its key is the same."""

UPDATES_WAITING_MAX = 1_000
"""Messages in a run's mailbox at which updates are refused: somebody waits for each of them."""

UPDATES_RUNNING_MAX = 1_000
"""Handlers of one run at work; further updates wait in the mailbox until one has ended."""

UPDATES_REFUSED_KEPT = 100
"""Updates of one run that its validators refused last, kept for callers at other engines."""

REASON_CHARS_MAX = 10_000
"""Characters of a reason given to cancel or terminate."""

STEP_UNWIND_SECONDS = 2.0
"""How long a coroutine step that timed out may unwind; then it is given up, as a thread is."""

CRASHES_MAX = 3
"""Deaths since the last new record: at this count a run is a suspect, at twice it is parked."""

JOURNAL_RECORDS_MAX = 100_000
"""Records of one run: replay grows with it. Beyond, the run is parked with the advice to split."""

# Actors.
ACTOR_MAILBOX = 1_000
"""Messages that may wait for one actor, unless its class says otherwise."""

ACTOR_ATTEMPTS = 3
"""How often a message that nobody waits for is tried before it becomes a dead letter."""

ACTOR_RETRY_SECONDS = 0.1
"""Before the second attempt at such a message; doubled for each further one."""

ACTOR_MAIL_MAX = 10_000
"""Messages of one actor in memory, beside delayed ones; the others wait in the mailbox."""

ACTOR_WARY_MESSAGES = 1_000
"""Messages that an actor left by a dead process writes down before it begins them: one of them may
have killed it. Each costs a commit more; more than these are hardly ever in a mailbox."""

ACTOR_RETRY_SECONDS_MAX = 30.0
"""The longest such pause: the messages behind it wait too."""

ACTOR_DEDUPS_MAX = 1_000
"""Messages with a dedup key that an actor remembers; the oldest is forgotten first."""

ACTIVATIONS_MAX = 16
"""Runs brought into memory at once: while one waits for the store, others decode and begin."""

ACTOR_ROWS_MAX = 10_000
"""Rows of resting actors kept in memory, so that the next message needs no reading."""

ACTOR_SWEEP_SECONDS = 10.0
"""How often rows of actors that have been idle for too long are looked for."""

SUPERVISOR_RESTARTS_MAX = 10
"""Failures that a supervisor answers by a restart, unless it says otherwise; the next is too many.
A message that fails on every attempt costs as many restarts as it has attempts."""

SUPERVISOR_WITHIN = "60s"
"""The time in which a supervisor counts them."""

SUPERVISOR_PAUSE_SECONDS = (0.1, 10.0)
"""Before the second restart of a member within that time, doubled for each further one, and the
longest: what fails at once is not started in a circle. The first restart is at once."""

SUPERVISOR_ORDER_SECONDS = 60.0
"""How long a supervisor waits for a member to start, hold or stop. One whose start takes longer has
failed; the others are given up, for an engine without the member's class never answers."""

SUPERVISOR_MEMBERS_MAX = 1_000
"""Members of one team: its state is written with each failure. Larger crews are teams of teams."""

REMINDER_SECONDS_MIN = 0.01
"""Between two messages of a reminder: each is a commit of its own."""

PRIORITY_MAX = 1_000_000
"""Priorities of messages go from minus this to this; beyond are the engine's own."""

ERROR_CHARS_MAX = 500
"""Of an error's text in a row or a dead letter."""

# The store and the writer.
JOURNAL_TAIL_RECORDS_MAX = 200_000
"""Records in the log's tail; recovery reads it whole. Beyond, the oldest runs are packed."""

COMMIT_TRANSACTIONS_MAX = 2_000
"""Transactions in one group commit: bounds how long the last one waits for the first."""

WRITER_QUEUE_MAX = 20_000
"""Transactions waiting for the writer; beyond it steps and senders wait (backpressure)."""

STORE_RETRY_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0)
"""Pauses while the store is full or away; the last repeats until it is back."""

VERIFIED_AT_OPEN_BYTES = 256 * 1024 * 1024
"""Up to this size the structure of a database is verified before it is used: 0.3 s for 184 MiB.
Of a larger one that is done beside the work, and /readyz says so."""

ROWS_VERIFIED_AT_OPEN_BYTES = 64 * 1024 * 1024
"""The same for the checksums of all rows, which take three times as long."""

READER_VERIFIES_BYTES = 16 * 1024 * 1024
"""Up to this size commands that only read do both, too: listing runs must not take seconds."""

RESERVE_BYTES = 1024 * 1024
"""Kept on disk beside the database so that a cancel still works when the disk is full."""

STORE_LOG_BYTES = 64 * 1024 * 1024
"""From here on a write-ahead log that a reader keeps from starting anew is warned of."""

STORE_LOOK_SECONDS = 1.0
"""While nothing is committed, how often the database's files are looked for in their place."""

MAILBOX_READ_MAX = 1_000
"""Messages taken from a mailbox at once."""

COUNT_MAX = 100_000
"""Runs are counted up to here: a count is to be seen before something is done to all of them."""

LOOKUP_QUICK_SECONDS = 0.05
"""What is looked up sooner than this is never behind what takes longer."""

LOOKUP_SECONDS_MAX = 2.0
"""How long the store looks for one answer to a client; 100,000 runs are looked through in less."""

LOOKUP_WAIT_SECONDS = 5.0
"""How long a client's lookup waits for its turn; then it is refused, with the advice to wait."""

LOOKUPS_WAITING_MAX = 256
"""Lookups of one client that wait; it has as many requests in work at most."""

LONG_LOOKUPS_WAITING_MAX = 16
"""Of these, those that took longer than `LOOKUP_QUICK_SECONDS`: one of each client is at work."""

BULK_AT_ONCE = 32
"""Runs that one bulk verb acts on at once: enough to share commits, few enough to stop soon."""

PAGE_ROWS = 200
"""Rows of one page of a listing."""

PAGE_READ_BYTES = 4 * 1024 * 1024
"""A page of rows that hold values ends with the row that reaches this: they may be of the largest
size."""

STREAM_ROW_BYTES = 256 * 1024
"""Values of a stream that are written at once are stored in rows of this size, or of one value."""

STREAM_READ_MAX = 200
"""Stream rows read at once."""

STREAM_READ_BYTES = 1024 * 1024
"""A page of stream rows ends with the row that reaches this: values may be of the largest size."""

PRUNE_RUNS = 500
"""Closed runs deleted in one transaction of retention."""

SUMMARY_SECONDS = 0.25
"""How far a run's row may lag behind what it does; readers in other processes see the row."""

RETENTION = "30d"
"""How long closed runs are kept."""

AUDIT_SECONDS = 90 * 86_400.0
"""How long the audit says who did what: auditors ask for a quarter."""

AUDIT_TRAFFIC_SECONDS = 7 * 86_400.0
"""The same for what applications do all the time: start, signal, update, ask, tell, publish."""

AUDIT_TRAFFIC_ROWS = 100_000
"""Of these no more than the newest are kept: they may come a thousand a second."""

AUDIT_CALLER_ROWS = 100_000
"""Rows of one caller that are kept, the newest: nobody is to fill the disk with them."""

AUDIT_REASON_CHARS_MAX = 1_000
"""So much of a reason is kept."""

AUDIT_REFUSALS_MAX = 60
"""Requests of one caller within a minute that were refused, or had nothing to do, and are in the
audit: whoever does nothing is not to fill the disk."""

RETENTION_SECONDS = 60.0
"""Between two rounds of deleting closed runs whose retention is over."""

# Leases.
SHARDS = 256
"""Leases of a shared store: cost of renewal does not grow with runs."""

LEASE_SECONDS = 15.0
"""How long a dead worker's runs wait for another; a crash costs at most this."""

# Steps.
THREADS_MAX = 32
"""Threads for `def` steps; more when bodies wait and these do not come back."""

THREADS_GROW_SECONDS = 10.0
"""How long bodies wait for a thread before there may be more: most steps are over by then."""

THREADS_GROWN_BY = 8
"""So many more at a time: a step that hangs in every run must not take all memory at once."""

THREADS_GROWN_MAX = 128
"""Threads for `def` steps that there may ever be: each has a stack of up to 8 MiB."""

THREADS_NAMED = 3
"""So many of the bodies that hold threads are named in a warning."""

PROCESS_FRAME_BYTES_MAX = 16 * 1024 * 1024
"""One message between the engine and a process worker."""

RECONCILE_SECONDS = 1.0
"""How often a store shared by several engines is looked at; hints in between may be lost."""

DRAIN_FLUSH_SECONDS = 5.0
"""A store that works gets so long for the last commits, also when steps have used up the grace."""

DRAIN_GRACE_SECONDS = 30.0
"""How long a shutdown waits for steps in flight."""

SIGNAL_ECHO_SECONDS = 0.25
"""A second signal so soon after the first is the same one: Ctrl-C reaches a group of processes, and
what started us (a one-file executable, `timeout`, a container's init) may pass it on besides.
Nobody presses a key twice so quickly."""

# Latency.
LAG_SECONDS_MAX = 0.25
"""The host loop did not turn for this long: the watchdog logs the stack that blocks it."""

GC_IDLE_SECONDS = 0.02
"""The engine collects garbage after the loop was idle for this long."""

GC_THRESHOLDS = (100_000, 50, 1_000)
"""Collector thresholds while an engine is open; defaults stall seconds at 100,000 live runs."""

PROCESS_KILL_SECONDS = 2.0
"""How long a cancelled process step may go on before its worker is killed."""

SOCKET_BACKLOG = 4_096
"""Connections to the owner's Unix socket that wait to be accepted; the kernel may take fewer."""

SOCKET_LOOK_SECONDS = 5.0
"""How often an engine looks whether its Unix socket is still in its place."""

SOCKET_SILENCE_SECONDS = 10.0
"""How long a command waits for the owner of a database to say that it is there."""

SHARE_SECONDS = 10.0
"""How long a process that shares a database looks for one that owns it, or for the lock: opening a
large file after a crash takes seconds."""

SHARE_SILENCE_SECONDS = 5.0
"""How long the owner may take for a commit of a sharing process; then its outcome is not known."""

SHARED_COMMIT_BYTES_MAX = 256 * 1024 * 1024
"""What a process that shares a database sends its owner at once: the largest batch that can come of
ordinary use. It is of the same user, and could as well write the file."""

SHARED_CHANGES_MAX = 20_000
"""Changed runs that wait to be told to one sharing process; beyond, it looks at all it awaits."""

# The server.
HTTP_BODY_BYTES_MAX = 4 * 1024 * 1024
"""One request's body: a value of the largest size, written as JSON with its escapes."""

HTTP_STRANGER_BYTES_MAX = 1_000
"""The body of who has shown no token yet: the code of a link is shorter."""

HTTP_CHUNK_BYTES_MIN = 256
"""Chunks of a body, on average, beyond the first 200: each costs the event loop 10 us or more."""

HTTP_NODES_MAX = 200_000
"""Values in one request's body, counted before it is read: 4 MB of `{}` held all up for seconds."""

HTTP_PAGE_BYTES = 1024 * 1024
"""A page of an answer ends with the row with which what is stored of it reaches this."""

HTTP_VALUE_BYTES = 16 * 1024
"""Of a larger value pages and the view of a run show the beginning, and where all of it is."""

HTTP_PREVIEW_BYTES = 1_000
"""So much of its JSON is the beginning."""

HTTP_DIFF_BYTES = 8 * 1024 * 1024
"""Values of a run that are compared with another's; `HTTP_BODIES_BYTES_MAX` holds them all."""

HTTP_INLINE_BYTES = 32 * 1024
"""What is larger is converted beside the loop, in a thread: of bodies, values and pages."""

HTTP_HEADER_BYTES_MAX = 32 * 1024
"""The head of one request; what is larger is refused before any of it is looked at."""

HTTP_HEADERS_MAX = 100
"""Headers of one request: each costs time on the event loop before anybody is known."""

HTTP_LINE_BYTES_MAX = 16 * 1024
"""The path and query of one request: the longest ids and queries need a part of it."""

HTTP_HEAD_SECONDS = 10.0
"""How long a client may take to send the head of a request; slower ones are hung up on."""

HTTP_BODY_SECONDS = 30.0
"""How long a client may take to send a body."""

HTTP_CONNECTIONS_MAX = 4_000
"""Open connections of one server; fewer where the process may open fewer files, less those of
`HTTP_FILES_KEPT`. Each is a descriptor and some 20 KiB. One that comes then takes the place of one
that asks for nothing: that has rested longest, of the address with the most."""

HTTP_FILES_KEPT = 256
"""Files that connections leave to the rest of the process: the database, workers, the program."""

HTTP_SHARE_MAX = 0.75
"""Of connections, places, streams and bodies, the most that one address may have. An IPv6 address
counts with all of its network (/64), a loopback address with all others."""

HTTP_TOKEN_SHARE_MAX = 0.5
"""Of the last three, the most that one token may have: others at its address keep the rest."""

HTTP_REQUESTS_AHEAD_MAX = 16
"""Requests that a client may send on one connection before the one in work is answered."""

HTTP_BODIES_BYTES_MAX = 64 * 1024 * 1024
"""Bodies of all requests together, while they come and until they are answered."""

HTTP_UNTAKEN_BYTES = 64 * 1024 * 1024
"""Answers, and as much of events, that clients have begun to take; the slowest are hung up on."""

HTTP_UNSENT_BYTES = 128 * 1024
"""What the kernel holds for one TCP client beside what is under way to it (Linux, macOS)."""

HTTP_WAIT_SECONDS_MAX = 300.0
"""How long one request may wait for a run's end or an actor's answer."""

HTTP_PAGE_MAX = 1_000
"""Items of one page."""

QUERY_CHARS_MAX = 2_000
"""Of a query of runs."""

HTTP_REQUESTS_MAX = 128
"""Requests in work at once, streams and waits not counted: more do not make the disk faster."""

HTTP_QUEUE_MAX = 256
"""Requests that wait for a place; the next is refused at once."""

HTTP_QUEUE_SECONDS = 1.0
"""How long a request waits for a place; who waits longer has mostly given up."""

HTTP_WAITS_MAX = 2_000
"""Requests that only wait, for a run's end or an actor's answer."""

LOGIN_FAILURES_MAX = 10
"""Wrong tokens from one address within `LOGIN_SECONDS` that are answered 401 and logged; then they
are answered 429. A right token is let in all the same, whatever its address has tried."""

LOGIN_SECONDS = 60.0
"""The time in which wrong tokens are counted."""

SIGN_IN_CODE_SECONDS = 600.0
"""How long the link that `outlast dev` prints signs in, if it was not followed before."""

SIGN_IN_CODES_MAX = 64
"""Codes of links that a server knows; of older ones it does not even know that they were spent."""

METRIC_WORKFLOWS_MAX = 200
"""Workflows that metrics name; the others are counted together. Each makes five series at most."""

SSE_CLIENTS_MAX = 3_000
"""Open streams of one server."""

SSE_HEARTBEAT_SECONDS = 10.0
"""Between two comments on a silent stream: who has gone is noticed, proxies keep it open."""

SSE_READS_MAX = 32
"""Clients of streams that read the store at once, each until it has taken what was read."""

SSE_RING_BYTES = 256 * 1024
"""Encoded events of one stream that are kept; who is further behind reads the store."""

SSE_WRITE_SECONDS = 20.0
"""How long a client may take no bytes; then it is hung up on."""

FEED_EVENTS_MAX = 1_000
"""Events of the live feed that a client may have missed and still go on without reading again."""

FEED_SECONDS = 0.1
"""Changes of runs are gathered for this long before the live feed tells them."""

LOG_FILE_BYTES_MAX = 16 * 1024 * 1024
"""One file of a server's log; there are two, the older is replaced."""

LOG_LOOK_SECONDS = 0.3
"""Between two looks of `outlast logs --follow`: a file tells nobody that it has grown."""

HISTORY_SECONDS = 5.0
"""Between two points of the server's own figures."""

HISTORY_POINTS = 720
"""Points that are kept: an hour."""
