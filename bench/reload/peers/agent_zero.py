"""Hot reload by the mechanism of Agent Zero, and as little of an HTTP server as will do.

agent_zero.py PORT DIRECTORY first|last

A watchdog observer on the directory, with everything below it, tells of *.py files that were created, modified or
deleted. Events of one file within 500 ms are one: the first of them counts and the rest is dropped (`first`, what its
code does), or the file is loaded 500 ms after the last of them (`last`, what its description promises). A file is loaded
by importlib under its name; when that fails the module that worked stays. `POST /tools/weather/call` calls the tool,
`GET /process` tells processes apart.
"""

import importlib.util
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from watchdog.events import FileSystemEventHandler
from watchdog.observers import Observer

DEBOUNCE_SECONDS = 0.5


class Modules:
    """The modules that serve, by the name of their file."""

    def __init__(self):
        self._modules = {}

    def get(self, name):
        return self._modules[name]

    def load(self, path):
        name = os.path.splitext(os.path.basename(path))[0]
        before = sys.modules.get(name)
        try:
            spec = importlib.util.spec_from_file_location(name, path)
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
            self._modules[name] = module
        except Exception as error:
            print(f"Failed to load {path}: {error}", file=sys.stderr)
            if before is not None:
                sys.modules[name] = before


class FirstEvent(FileSystemEventHandler):
    """Loads at the first event of a file, and drops what comes within the debounce."""

    def __init__(self, load):
        self._load = load
        self._seen = {}

    def on_any_event(self, event):
        if not concerns_module(event):
            return
        now = time.monotonic()
        if now - self._seen.get(event.src_path, float("-inf")) < DEBOUNCE_SECONDS:
            return
        self._seen[event.src_path] = now
        self._load(event.src_path)


class LastEvent(FileSystemEventHandler):
    """Loads a file when the debounce has passed since its last event."""

    def __init__(self, load):
        self._load = load
        self._timers = {}

    def on_any_event(self, event):
        if not concerns_module(event):
            return
        waiting = self._timers.pop(event.src_path, None)
        if waiting is not None:
            waiting.cancel()
        timer = threading.Timer(DEBOUNCE_SECONDS, self._load, [event.src_path])
        timer.daemon = True
        self._timers[event.src_path] = timer
        timer.start()


def concerns_module(event):
    told = event.event_type in ("created", "modified", "deleted")
    return told and not event.is_directory and event.src_path.endswith(".py")


def handler_of(modules):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # One write for each answer, sent at once.
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_GET(self):
            self._answer(200, str(os.getpid()))

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            try:
                arguments = json.loads(body)["arguments"]
                result = modules.get("weather").execute(**arguments)
                self._answer(200, json.dumps({"result": result}))
            except Exception as error:
                self._answer(500, str(error))

        def _answer(self, status, text):
            data = text.encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    return Handler


def main(port, directory, debounce):
    modules = Modules()
    modules.load(os.path.join(directory, "weather.py"))
    handler = FirstEvent(modules.load) if debounce == "first" else LastEvent(modules.load)
    observer = Observer()
    observer.schedule(handler, directory, recursive=True)
    observer.start()
    ThreadingHTTPServer(("127.0.0.1", int(port)), handler_of(modules)).serve_forever()


main(*sys.argv[1:])
