"""What others make of inputs: h11 here, Node's parser and nginx as processes. Each gives a list of requests and a reason
why there are no more."""

import asyncio
import json
import pathlib
import subprocess
import tempfile

import h11

import inputs

HERE = pathlib.Path(__file__).parent


def ours(program, kind, texts):
    return lines([program, kind], texts)


def llhttp(texts):
    return lines(["node", str(HERE / "llhttp.mjs")], texts)


def lines(command, texts):
    done = subprocess.run(command, input=inputs.framed(texts), stdout=subprocess.PIPE, check=True, timeout=120)
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(verdicts) == len(texts), (command, len(verdicts), len(texts))
    return verdicts


def of_h11(text):
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(text)
    connection.receive_data(b"")
    requests, request = [], None
    try:
        while True:
            event = connection.next_event()
            match event:
                case h11.Request():
                    fields = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in event.headers.raw_items()]
                    request = {
                        "method": event.method.decode("latin-1"),
                        "target": event.target.decode("latin-1"),
                        "fields": fields,
                        "content": "",
                    }
                case h11.Data():
                    request["content"] += bytes(event.data).hex()
                case h11.EndOfMessage():
                    requests.append(request)
                    connection.send(h11.Response(status_code=404, headers=[("content-length", "0")]))
                    connection.send(h11.EndOfMessage())
                    if connection.states != {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
                        return {"requests": requests, "why": "closed"}
                    connection.start_next_cycle()
                case _:
                    return {"requests": requests, "why": "more"}
    except h11.RemoteProtocolError as error:
        return {"requests": requests, "why": str(error)}


NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log crit; worker_rlimit_nofile 4096;
events {{ worker_connections 2048; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    keepalive_timeout 5s; client_header_timeout 5s; client_body_timeout 5s; lingering_close always; lingering_timeout 2s;
    proxy_ignore_client_abort on; proxy_buffer_size 256k; proxy_buffers 8 256k; proxy_busy_buffers_size 512k;
    upstream echo {{ server unix:{folder}/echo; }}
    server {{ listen unix:{folder}/nginx; location / {{ proxy_pass http://echo; }} }}
}}
"""


async def echo(reader, writer):
    """Behind nginx: says in a field what came."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *fields = head[:-4].split(b"\r\n")
        length = next((int(f.split(b":")[1]) for f in fields if f.lower().startswith(b"content-length:")), 0)
        method, target, _ = line.split(b" ", 2)
        said = {
            "method": method.decode("latin-1"),
            "target": target.decode("latin-1"),
            "content": (await reader.readexactly(length)).hex(),
        }
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Echo: " + json.dumps(said).encode().hex().encode() + b"\r\n\r\n")
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
        pass
    writer.close()


async def of_nginx(path, text, places):
    async with places:
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            writer.write(text)
            await writer.drain()
            writer.write_eof()
            answers = await asyncio.wait_for(reader.read(-1), 20)
        except ConnectionError:
            answers = b""
        writer.close()
    requests, why = [], "more"
    while answers.startswith(b"HTTP/1.1 "):
        head, _, answers = answers.partition(b"\r\n\r\n")
        status, *fields = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        answers = answers[int(fields.get("content-length", 0)) if "x-echo" not in fields else 0 :]
        if "x-echo" in fields:
            requests.append(json.loads(bytes.fromhex(fields["x-echo"])))
        elif " 100 " not in status:
            why = status
            break
    return {"requests": requests, "why": why}


async def ask_nginx(program, texts):
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "nginx.conf")
        config.write_text(NGINX.format(folder=folder))
        server = await asyncio.start_unix_server(echo, f"{folder}/echo", backlog=1000)
        process = await asyncio.create_subprocess_exec(
            program, "-c", str(config), "-p", folder, "-e", f"{folder}/error.log", stderr=subprocess.DEVNULL
        )
        try:
            while not pathlib.Path(folder, "nginx").exists():
                assert process.returncode is None, "nginx does not start"
                await asyncio.sleep(0.05)
            places = asyncio.Semaphore(100)
            return await asyncio.gather(*(of_nginx(f"{folder}/nginx", text, places) for text in texts))
        finally:
            process.terminate()
            await process.wait()
            server.close()


def nginx(program, texts):
    return asyncio.run(ask_nginx(program, texts))
