"""Programs that are no MCP server. Usage: mcp_bad.py exit|silent|garbage|chatter|endless|refuse."""

import json
import sys
import time

kind = sys.argv[1]
if kind == "exit":
    sys.stderr.write("no licence found\n")
    sys.exit(3)
if kind == "garbage":
    sys.stdout.write("Hello, \x1b[31mthis is a web server\x1b[0m\n")
if kind == "chatter":
    for number in range(50):
        sys.stdout.write(f"log line {number}\n")
if kind == "endless":
    piece = b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * (1 << 20)
    for _ in range(40):
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.write(b"\n")
if kind == "refuse":
    number = json.loads(sys.stdin.readline())["id"]
    refusal = {"jsonrpc": "2.0", "id": number, "error": {"code": -32600, "message": "go away"}}
    sys.stdout.write(json.dumps(refusal) + "\n")
sys.stdout.flush()
sys.stdin.read()
time.sleep(60 if kind == "silent" else 0)
