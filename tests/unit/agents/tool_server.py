"""An MCP server over stdio, as small as it can be, that can also misbehave."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TypeGuard

TOOLS = ["echo", "die", "eat", "hang"]


def result_of(message: dict[str, object]) -> dict[str, object] | None:
    given = part_of(message, "params")
    match message["method"]:
        case "initialize":
            return {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "tools", "version": "1"},
            }
        case "tools/list":
            schema = {"type": "object", "properties": {"text": {"type": "string"}}}
            return {"tools": [{"name": name, "inputSchema": schema} for name in TOOLS]}
        case "tools/call":
            return {"content": [{"type": "text", "text": called(given)}]}
        case "ping" if "no-ping" not in sys.argv:
            return {}
        case _:
            return None


def part_of(message: dict[str, object], name: str) -> dict[str, object]:
    part = message.get(name)
    return {f"{key}": value for key, value in part.items()} if is_dict(part) else {}


def is_dict(value: object) -> TypeGuard[dict[object, object]]:
    return isinstance(value, dict)


def called(given: dict[str, object]) -> str:
    text = part_of(given, "arguments").get("text", "")
    with Path(sys.argv[1]).open("a") as file:
        file.write(f"{given['name']}:{text}\n")
    if given["name"] == "die":
        sys.stderr.write("the server has had enough\n")
        sys.stderr.flush()
        os._exit(3)
    if given["name"] == "hang" and Path(sys.argv[1]).read_text().count("hang:") == 1:
        time.sleep(600)
    if given["name"] == "eat":
        eaten = bytearray(512 * 1024 * 1024)
        eaten[::4096] = b"x" * len(eaten[::4096])
    return f"{text} of {os.getpid()}"


def main() -> None:
    with Path(sys.argv[1]).open("a") as file:
        file.write(f"started:{os.getpid()}\n")
    if "--broken" in sys.argv:
        sys.stderr.write("cannot read the configuration\n")
        sys.exit(1)
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        answer: dict[str, object] = {"jsonrpc": "2.0", "id": message["id"]}
        found = result_of(message)
        if found is None:
            answer["error"] = {"code": -32601, "message": "no such method"}
        else:
            answer["result"] = found
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
