"""A small server with the tools of the reference server, right at /right/mcp and wrong at /WRONG/mcp. Prints its port.

What goes wrong is the first word of the path: each has a store of its own. Skills are given up after 0.3 s.
"""

# ruff: noqa: A002 - arguments are named as the tools name them

import asyncio
import itertools
import json
import math
import random
import socket
import sys
import uuid
from collections import defaultdict
from contextlib import suppress

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

ANSWER_SECONDS = 0.3
OWN = (
    "memory_search memory_get memory_stats memory_store memory_store_many memory_forget procedure_list procedure_status"
)
OWN += " procedure_run procedure_send procedure_interrupt agent_ping interrupt_check skills_reload"


class Refused(Exception):
    """A tool says no."""


class Server:
    """One server, wrong in one way."""

    def __init__(self, wrong):
        self.wrong = wrong
        self.memories, self.ids = {}, itertools.count(1)
        self.said, self.delayed, self.late = ["nothing yet"], [], []
        self.calls = self.searching = 0
        self.runs, self.agents, self.asked = {}, defaultdict(list), None

    # --- memories ---

    def memory_store(self, content, category="fact", importance=0.5, metadata=None):
        number = next(self.ids)
        kept = {} if self.wrong == "loses_metadata" else metadata or {}
        self.memories[number] = {
            "id": number, "content": content, "category": category, "importance": importance, "metadata": kept
        }  # fmt: skip
        return {"id": number}

    def memory_store_many(self, memories):
        return {"ids": [self.memory_store(**one)["id"] for one in memories]}

    def memory_get(self, id):
        if id not in self.memories:
            raise Refused(f"there is no memory {id}")
        return self.memories[id]

    def memory_forget(self, id):
        self.memory_get(id) if self.wrong == "forgets_nothing" else self.memories.pop(id)
        return {"forgotten": 1}

    async def memory_search(self, query, limit=10, min_similarity=0.0, category=None, min_importance=0.0, cursor=None):
        if self.wrong == "empty":
            return {"memories": []}
        self.searching += 1
        try:
            if self.wrong == "empty_when_busy" and self.searching > 3:
                return {"memories": []}
            await asyncio.sleep(0.01)
        finally:
            self.searching -= 1
        found = [{**one, "similarity": self.alike(query, one["content"])} for one in self.memories.values()]
        found = [
            one
            for one in sorted(found, key=lambda one: (-one["similarity"], one["id"]))
            if (self.wrong == "ignores_similarity" or one["similarity"] >= min_similarity)
            and (self.wrong == "ignores_category" or category in (None, one["category"]))
            and (self.wrong == "ignores_importance" or one["importance"] >= min_importance)
        ]
        start, asked = json.loads(cursor) if cursor else (0, query)
        if asked != query and self.wrong != "takes_any_cursor":
            raise Refused("the cursor is of another search")
        end = len(found) if self.wrong == "ignores_limit" else start + limit
        after = end - 1 if self.wrong == "repeats_on_pages" and limit > 1 else end
        more = {"next_cursor": json.dumps([after, query])} if end < len(found) else {}
        return {"memories": found[start:end], **more}

    def alike(self, one, other):
        if self.wrong == "noise":
            return 1.0 if one == other else random.Random(one + other).uniform(-0.1, 0.1)
        if self.wrong == "wanders":
            return random.uniform(0.99, 1.0)
        mine, theirs = set(one.split()), set(other.split())
        return len(mine & theirs) / math.sqrt(len(mine) * len(theirs))

    # --- skills ---

    def skill_echo(self, text):
        self.said.append(text)
        if self.wrong == "shifted":
            return {"text": self.said[-2]}
        return {"text": self.late.pop() if self.late else text}

    async def skill_delay(self, text, milliseconds):
        self.delayed.append(text)
        if milliseconds > ANSWER_SECONDS * 1000:
            await asyncio.sleep(ANSWER_SECONDS)
            self.delayed.remove(text)
            if self.wrong == "desync":
                late = milliseconds / 1000 - ANSWER_SECONDS
                asyncio.get_running_loop().call_later(late, self.late.append, text)
            raise Refused(f"no answer within {ANSWER_SECONDS} s")
        await asyncio.sleep(milliseconds / 1000)
        others = [one for one in self.delayed if one != text]
        answer = others[0] if others and self.wrong == "crossed" else text
        self.delayed.remove(answer)
        return {"text": answer}

    # --- procedures ---

    def procedure_run(self, name, context=None, wait=True):
        run = {"id": uuid.uuid4().hex, "status": "waiting", "state": "waiting", "context": dict(context or {})}
        self.runs[run["id"]] = run
        if name == "retry_then_succeed":
            run |= {"status": "completed", "context": {"attempt": 1 if self.wrong == "no_retries" else 3}}
        elif name == "remember_and_find" and not run["context"]["content"]:
            failed = {"status": "failed", "state": "remember", "context": {"attempt": 3}}
            run |= {"status": "running", "state": "remember"} if self.wrong == "hangs" else failed
        elif name == "remember_and_find":
            number = self.memory_store(run["context"]["content"])["id"]
            self.memories.pop(number)
            ids = [] if self.wrong == "finds_nothing" else [number]
            run["context"] |= {"id": number, "ids": ids, "forgotten": 1}
            run["status"] = "completed"
        return run

    def procedure_status(self, id):
        return self.runs[id]

    def procedure_list(self):
        return {"running": [one["id"] for one in self.runs.values() if one["status"] == "waiting"]}

    def procedure_send(self, id, event, data=None):
        if self.runs[id]["status"] != "waiting":
            raise Refused("it waits for no event")
        if self.wrong != "loses_events":
            self.runs[id] |= {"status": "completed", "context": {} if self.wrong == "loses_data" else data or {}}
        return self.runs[id]

    def procedure_interrupt(self, id, reason):
        self.runs[id] |= {"status": "completed" if self.wrong == "deaf" else "interrupted", "problem": reason}
        return self.runs[id]

    # --- the rest ---

    def agent_ping(self, agent):
        return {"reply": f"{'somebody' if self.wrong == 'pongs_for_others' else agent} heard ping"}

    def interrupt_check(self, reason):
        return {"seen": True, "reason": reason}

    def listed(self, forwarded):
        names = OWN.split() + ["skill_echo", "skill_delay"] * (2 if self.wrong == "lists_twice" else 1)
        if self.wrong == "lists_no_skills" or (self.wrong == "heeds_headers" and forwarded):
            names = OWN.split()
        schema = {} if self.wrong == "no_schemas" else {"type": "object"}
        return {
            "tools": [{"name": name, "description": name, "inputSchema": schema, "outputSchema": {}} for name in names]
        }

    @staticmethod
    def refused(text):
        return {"content": [{"type": "text", "text": text}], "isError": True}

    async def called(self, name, arguments):
        self.calls += 1
        if self.wrong == "always_busy" or (self.wrong == "busy_sometimes" and self.calls % 20 == 1):
            return self.refused("readers: all 4 are busy; try again in a moment")
        try:
            said = getattr(self, name)(**arguments)
            said = await said if asyncio.iscoroutine(said) else said
        except Refused as refused:
            return self.refused(str(refused))
        text = json.dumps({} if self.wrong == "says_two_things" else said)
        return {"content": [{"type": "text", "text": text}], "structuredContent": said}

    # --- agents ---

    async def talk(self, socket):
        await socket.accept()
        name = (await socket.receive_json())["agent"]
        kept = self.kept(socket)
        self.agents[name].append(kept)
        await socket.send_json({"type": "welcome", "agent": name})
        if self.wrong == "greets":
            await socket.send_json({"type": "message", "from": "nobody", "message": "hi"})
        try:
            while True:
                await self.take(socket, name, await socket.receive_json())
        except (WebSocketDisconnect, RuntimeError):
            if self.wrong != "ghosts":
                self.agents[name].remove(kept)

    @staticmethod
    def kept(socket):
        async def send(message):
            with suppress(WebSocketDisconnect, RuntimeError):
                await socket.send_json(message)

        return send

    async def take(self, socket, name, said):
        match said["type"]:
            case "ping":
                await socket.send_json({"type": "pong"})
            case "subscribe":
                foreign = any(topic.startswith("agent:") for topic in said["topics"])
                await socket.send_json({"type": "error", "code": "invalid"} if foreign else {"type": "topics"})
            case "query":
                asked, self.asked = self.asked if self.wrong == "mixes_queries" else said["query"], said["query"]
                found = await self.memory_search(asked or said["query"], said.get("limit", 10))
                if said["ref"].startswith("i"):
                    return  # it takes long
                await socket.send_json({"type": "accepted", "ref": said["ref"]})
                await socket.send_json({"type": "result", "ref": said["ref"], **found})
            case "interrupt":
                ended = {"type": "interrupted", "ref": said["ref"], "reason": said["reason"]}
                ignored = {"type": "result", "ref": said["ref"], "memories": []}
                await socket.send_json(ignored if self.wrong == "heeds_no_interrupt" else ended)
            case "send":
                message = {"type": "message", "from": name, "message": said["message"]}
                reached = self.agents[said["to"]] * (2 if self.wrong == "sends_twice" else 1)
                await socket.send_json({"type": "sent", "to": said["to"], "connections": len(self.agents[said["to"]])})
                if self.wrong == "tells_everybody":
                    reached = itertools.chain(*(sends for other, sends in self.agents.items() if other != name))
                for send in list(reached):
                    await send(message)


servers = {}


def server(wrong):
    """The one that is wrong in this way."""
    return servers.setdefault(wrong, Server(wrong))


async def mcp(request):
    """One message."""
    asked = await request.json() if request.method == "POST" else {}
    if "id" not in asked:
        return Response(status_code=202)
    one, params = server(request.path_params["wrong"]), asked.get("params") or {}
    if asked["method"] == "initialize":
        result = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": {}}
    elif asked["method"] == "tools/list":
        result = one.listed("x-forwarded-for" in request.headers)
    else:
        result = await one.called(params["name"], params["arguments"])
    return JSONResponse({"jsonrpc": "2.0", "id": asked["id"], "result": result})


async def synapse(socket):
    """One agent."""
    await server(socket.path_params["wrong"]).talk(socket)


if __name__ == "__main__":
    app = Starlette(
        routes=[Route("/{wrong}/mcp", mcp, methods=["POST", "DELETE"]), WebSocketRoute("/{wrong}/synapse", synapse)]
    )
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="error", ws="wsproto")).run([listener])
