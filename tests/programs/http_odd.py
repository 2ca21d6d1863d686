"""A TCP server that is no good HTTP server: `http_odd.py PORT garbage|silent|closes|short|half`."""

from __future__ import annotations

import socket
import sys

ANSWERS = {
    "garbage": b"SSH-2.0-Odd_1.0 token=abcdef123456\r\n",
    "silent": None,
    "closes": b"",
    "short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
    "half": b"HTTP/1.1 200 O",
}


def main() -> None:
    held = []
    answer = ANSWERS[sys.argv[2]]
    sys.stderr.write("listening, password=hunter2222\n")
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
        while True:
            connection, _ = server.accept()
            if answer is None:
                held.append(connection)
                continue
            with connection:
                connection.recv(65536)
                connection.sendall(answer)


if __name__ == "__main__":
    main()
