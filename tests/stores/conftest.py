"""Real stores on this machine, and a home with one pack registered.

S3 is moto's server. Azure is Microsoft's Azurite, where AZURITE names its program. Google Cloud
Storage is not tested: no emulator of it on the package registries has the interface for reading and listing that is used, and
moto does not decode names as that service does.
"""

import json
import os
import re
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "fixtures"
PROGRAM = ROOT / os.environ.get("TOUCHSTONE", "target/debug/touchstone")
COPY = (FIXTURES / "photos/copy-oatly-oat-milk-crop.jpg").read_bytes()
NOTHING = (FIXTURES / "grocery/photos/nothing-1.jpg").read_bytes()
# Enough of the pipeline to find a copy; reading words takes longest.
QUICK = ["--stages", "whole,windows,cells,hash,geometry"]
KEY = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


def free_port():
    with socket.socket() as lent:
        lent.bind(("127.0.0.1", 0))
        return lent.getsockname()[1]


def wait_for(port, process):
    for _ in range(300):
        assert process.poll() is None, "the store ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the store does not answer")


@dataclass
class Moto:
    """moto's S3, and what it was asked for."""

    port: int
    log: Path

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def client(self):
        # The newer checksums are sent in pieces, which are no use over plain HTTP.
        config = Config(request_checksum_calculation="when_required", s3={"addressing_style": "path"})
        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing", config=config)

    def requests(self):
        """(method, path, status) of all requests so far."""
        plain = re.sub(r"\x1b\[[0-9;]*m", "", self.log.read_text())
        return [(m, p, int(s)) for m, p, s in re.findall(r'"(\w+) (\S+) HTTP/1\.\d" (\d+)', plain)]


def start_moto(log, **more):
    port = free_port()
    program = Path(os.sys.executable).with_name("moto_server")
    with open(log, "w") as out:
        process = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], stdout=out, stderr=out, env={**os.environ, **KEY, **more})
    wait_for(port, process)
    return Moto(port, log), process


def stop(process):
    process.terminate()
    process.wait(timeout=20)


@pytest.fixture(scope="session")
def moto(tmp_path_factory):
    moto, process = start_moto(tmp_path_factory.mktemp("moto") / "log")
    yield moto
    stop(process)


@pytest.fixture
def bucket(moto, request):
    """A bucket of the test's own, with its client: `put(key, bytes)` fills it."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:50].strip("-")
    client = moto.client()
    client.create_bucket(Bucket=name, ACL="public-read")

    def put(key, content):
        # Readable for everyone: the one who stands in for Google's store signs nothing.
        client.put_object(Bucket=name, Key=key, Body=content, ACL="public-read")

    put.name = name
    return put


@dataclass
class Touchstone:
    """The program on a home with one pack registered."""

    home: Path
    folder: Path
    store: dict

    def command(self, *arguments):
        return [str(PROGRAM), "--home", str(self.home), *map(str, arguments)]

    def environment(self, **more):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "GOOGLE_", "AZURE_"))}
        runtime = os.environ.get("ORT_DYLIB_PATH", ROOT / "vendor/ort/libonnxruntime.so")
        return {**kept, "ORT_DYLIB_PATH": str(runtime), "TOUCHSTONE_MODELS": str(ROOT / "models"), **self.store, **more}

    def run(self, *arguments, **environment):
        return subprocess.run(self.command(*arguments), env=self.environment(**environment), cwd=self.folder, capture_output=True, text=True, timeout=300)

    def scan(self, source, out, *flags, expect=0, **environment):
        """Scans; gives the rows and what was said."""
        ran = self.run("scan", source, "--out", out, *QUICK, *flags, **environment)
        assert ran.returncode == expect, ran.stderr
        rows = [json.loads(line) for line in (self.folder / out).read_text().splitlines()] if expect < 2 else []
        return rows, ran.stderr


@pytest.fixture(scope="session")
def registered(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    touchstone = Touchstone(home, home, {})
    ran = touchstone.run("register", FIXTURES / "grocery/packs/oatly-oat-milk.jpg", "--brand", "Oatly", "--kind", "packaging")
    assert ran.returncode == 0, ran.stderr
    return home


@pytest.fixture
def touchstone(moto, registered, tmp_path):
    """With all that the environment must say of the stores."""
    store = {**KEY, "AWS_ENDPOINT_URL": moto.endpoint, "AWS_ALLOW_HTTP": "true"}
    return Touchstone(registered, tmp_path, store)
