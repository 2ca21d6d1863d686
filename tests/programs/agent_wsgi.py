"""A WSGI application for gunicorn, and an ASGI one for uvicorn."""


def wsgi(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return [b"hello"]


async def asgi(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})
