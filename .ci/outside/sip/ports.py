"""A port of loopback that nobody has, neither over UDP nor over TCP. Said on stdout if it is run.

It is none of those that the kernel gives to whoever connects: it stays free until it is bound, also between a server's
end and its next start.
"""

import random
import socket


def free():
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            try:
                udp.bind(("127.0.0.1", port))
                tcp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


if __name__ == "__main__":
    print(free())
