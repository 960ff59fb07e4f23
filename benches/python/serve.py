"""The HTTP layer: latency and photos a second at 1, 8 and 64 clients, beside the same pipeline called in-process.

Starts `touchstone serve --open` on a home with the fixtures' assets and sends the fixtures' photos to `POST /v1/match`. The pipeline's own
time stands in every answer, so at one client the layer's price is read off the same calls; in-process throughput is that of
`touchstone eval` on the same photos, in the same run. Prints a table, then one line of JSON with the names that scripts rely on.
"""

import csv
import http.client
import json
import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOUCHSTONE = ROOT / "target" / "release" / "touchstone"
FIXTURES = ROOT / "fixtures"
CLIENTS = (1, 8, 64)
# Calls in a row by all clients together.
N_CALLS = 308


@contextmanager
def server() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"TOUCHSTONE_HOME": home}
        subprocess.run([TOUCHSTONE, "register", FIXTURES / "assets.csv"], env=environment, check=True, capture_output=True)
        process = subprocess.Popen([TOUCHSTONE, "serve", "--open", "--listen", "127.0.0.1:0"], env=environment, stderr=subprocess.PIPE, text=True)
        try:
            for line in process.stderr:
                if found := re.search(r"listening on http://([0-9.:]+)", line):
                    break
            else:
                raise RuntimeError("the server did not start")
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield found.group(1)
        finally:
            process.terminate()
            process.wait()


def photos() -> list[bytes]:
    with open(FIXTURES / "photos.csv", newline="") as file:
        return [(FIXTURES / row["path"]).read_bytes() for row in csv.DictReader(file)]


def load(address: str, pictures: list[bytes], clients: int) -> tuple[float, list[float], list[float], int]:
    """Seconds in all; milliseconds of each answered call and of the pipeline in it; calls that were shed."""
    todo = iter(range(N_CALLS))
    lock = threading.Lock()
    latencies, own, shed = [], [], [0]

    def client() -> None:
        connection = http.client.HTTPConnection(address, timeout=120)
        while True:
            with lock:
                number = next(todo, None)
            if number is None:
                return
            while True:
                started = time.perf_counter()
                connection.request("POST", "/v1/match", pictures[number % len(pictures)], {"Content-Type": "application/octet-stream"})
                answer = connection.getresponse()
                body = answer.read()
                elapsed = 1000 * (time.perf_counter() - started)
                if answer.status == 503:
                    with lock:
                        shed[0] += 1
                    time.sleep(float(answer.headers.get("Retry-After", "1")))
                    continue
                if answer.status != 200:
                    raise RuntimeError(f"{answer.status}: {body[:200]!r}")
                with lock:
                    latencies.append(elapsed)
                    own.append(sum(json.loads(body)["timings_ms"].values()))
                break

    threads = [threading.Thread(target=client) for _ in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started, latencies, own, shed[0]


def in_process() -> float:
    """Photos a second of the same pipeline without HTTP, on all cores."""
    command = [TOUCHSTONE, "eval", "--assets", FIXTURES / "assets.csv", "--photos", FIXTURES / "photos.csv", "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["photos_per_s"]


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    pictures = photos()
    direct = in_process()
    result = {}
    with server() as address:
        load(address, pictures, 2)  # warm
        print(f"{'clients':>8}{'photos/s':>10}{'p50, ms':>10}{'p99, ms':>10}{'shed':>6}{'pipeline, ms':>14}{'HTTP over it, ms':>18}")
        for clients in CLIENTS:
            seconds, latencies, own, shed = load(address, pictures, clients)
            extra = (sum(latencies) - sum(own)) / len(own)
            rate = len(latencies) / seconds
            print(
                f"{clients:8}{rate:10.2f}{percentile(latencies, 0.5):10.1f}{percentile(latencies, 0.99):10.1f}{shed:6}"
                f"{sum(own) / len(own):14.1f}" + (f"{extra:18.2f}" if clients == 1 else "")
            )
            if clients == 1:
                result = {"p50_ms": round(percentile(latencies, 0.5), 1), "p99_ms": round(percentile(latencies, 0.99), 1)}
                result["overhead_ratio"] = round(sum(latencies) / sum(own), 4)
            result[f"photos_per_s_{clients}"] = round(rate, 2)
    result["photos_per_s_in_process"] = round(direct, 2)
    print(f"in-process, all cores: {direct:.2f} photos a second")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
