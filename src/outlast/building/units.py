"""A unit for systemd: the server as a service that can do little but serve."""

from __future__ import annotations

from outlast import limits

_STOP_SECONDS = int(limits.DRAIN_GRACE_SECONDS) + 15  # the drain, and what comes after it

_UNIT = """\
# Made by `outlast build --systemd`. To put it in place:
#   install -m 0755 {name} /usr/local/bin/{name}
#   install -m 0644 {name}.service /etc/systemd/system/{name}.service
#   systemctl daemon-reload && systemctl enable --now {name}
# Its data is in /var/lib/{name}, and the server's token in /var/lib/{name}/token, unless
# /etc/{name}/environment (mode 0600) has a line OUTLAST_TOKEN=...

[Unit]
Description={name}, durable workflows
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
# One file is two processes: the inner one serves and says that it is ready.
NotifyAccess=all
ExecStart=/usr/local/bin/{name} serve --db %S/{name}/outlast.db --host 127.0.0.1 --port {port}
EnvironmentFile=-/etc/{name}/environment
WorkingDirectory=%S/{name}
Restart=on-failure
RestartSec=1
# SIGTERM goes to the server alone, which drains; what is left after it is killed.
KillMode=mixed
TimeoutStopSec={stop}
LimitNOFILE=65536

# A user that exists while it runs, and one directory that it may write to.
DynamicUser=yes
StateDirectory={name}
StateDirectoryMode=0700
UMask=0077
ProtectSystem=strict
ProtectHome=yes
# One file unpacks itself into a /tmp of its own.
PrivateTmp=yes
PrivateDevices=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
# A library that compiles while it runs needs this to be `no`.
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def unit_of(name: str, port: int) -> str:
    """Return the unit file of an executable in /usr/local/bin."""
    return _UNIT.format(name=name, port=port, stop=_STOP_SECONDS)
