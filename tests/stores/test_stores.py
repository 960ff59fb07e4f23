"""Photos and manifests in stores, as `touchstone scan` and the server read them."""

import io
import json
import os
import re
import signal
import subprocess
import tarfile
import time
import urllib.request

import pytest
from conftest import COPY, KEY, NOTHING, PROGRAM, QUICK, free_port, start_moto, stop


def lines(listings):
    return "".join(json.dumps({"listing_id": name, "photos": photos}) + "\n" for name, photos in listings)


def verdicts(rows):
    return [row["verdict"] for row in rows]


def lasting(rows):
    """Rows without what differs from run to run."""
    return [{k: v for k, v in row.items() if k not in ("timings_ms", "read_ms", "work", "key")} for row in rows]


def test_a_prefix_is_a_folder(touchstone, bucket):
    folder = touchstone.folder / "photos"
    for key, content in [("a.jpg", COPY), ("b c/緑 %20#?.jpg", NOTHING), ("b.txt", b"no picture"), ("broken.png", b"<html>"), ("z.jpg", NOTHING)]:
        bucket(f"shop/photos/{key}", content)
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(content)
    bucket("shop/photos-of-others/a.jpg", COPY)
    plain, _ = touchstone.scan(folder, "plain.jsonl", expect=1)
    for source in [f"s3://{bucket.name}/shop/photos", f"s3://{bucket.name}/shop/photos/"]:
        stored, _ = touchstone.scan(source, "stored.jsonl", expect=1)
        assert verdicts(stored) == ["Flagged", "Clear", None, "Clear"]
        assert lasting(stored) == lasting(plain)
    empty, said = touchstone.scan(f"s3://{bucket.name}/absent/", "absent.jsonl", expect=2)
    assert "is not there" in said


def test_a_manifest_in_a_store_names_photos_beside_it(touchstone, bucket):
    bucket("photos/a.jpg", COPY)
    bucket("lists/b.jpg", NOTHING)
    secret = touchstone.folder / "here.jpg"
    secret.write_bytes(NOTHING)
    here = f"s3://{bucket.name}"
    listings = [("A", ["../photos/a.jpg", "b.jpg", "/photos/a.jpg", f"{here}/photos/a.jpg"]), ("B", ["gone.jpg"]), ("C", ["s3://another-bucket/a.jpg"]), ("D", [secret.as_uri(), str(secret)])]
    bucket("lists/listings.jsonl", lines(listings).encode())
    rows, _ = touchstone.scan(f"{here}/lists/listings.jsonl", "out.jsonl", "--out", "report.html", "--format", "jsonl", "--format", "html", expect=1)
    assert verdicts(rows) == ["Flagged", "Clear", "Flagged", "Flagged", None, None, None, None]
    for row, part in zip(rows[4:], ["gone.jpg is not there", "--fetch-store", "no files of this machine", "is not there"]):
        assert part in row["error"], row
    # The report has the photo's picture.
    assert "data:image" in (touchstone.folder / "report.html").read_text()
    # Another bucket is read where it is named.
    rows, _ = touchstone.scan(f"{here}/lists/listings.jsonl", "more.jsonl", "--fetch-store", "s3://another-bucket", expect=1)
    assert "another-bucket/a.jpg is not there" in rows[5]["error"]


def test_an_archive_in_a_store(touchstone, bucket):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in [("1.jpg", COPY), ("1.json", b'{"listing_id":"one"}'), ("2.jpg", NOTHING)]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    bucket("shards/0.tar", packed.getvalue())
    source = f"s3://{bucket.name}/shards/0.tar"
    rows, _ = touchstone.scan(source, "out.jsonl", "--out", "report.html")
    assert verdicts(rows) == ["Flagged", "Clear"]
    assert rows[0]["listing_id"] == "one" and rows[0]["photo"] == f"{source}/1.jpg"
    assert "data:image" in (touchstone.folder / "report.html").read_text()


def test_stores_are_read_only_where_the_command_line_names_them(touchstone, bucket, moto):
    bucket("photos/a.jpg", COPY)
    bucket("other/a.jpg", COPY)
    source = touchstone.folder / "listings.jsonl"
    source.write_text(lines([("A", [f"s3://{bucket.name}/photos/a.jpg"]), ("B", [f"s3://{bucket.name}/other/a.jpg"]), ("C", ["https://shop.example/a.jpg"])]))
    asked = len(moto.requests())
    rows, _ = touchstone.scan(source, "none.jsonl", expect=1)
    assert all("--fetch-store" in row["error"] for row in rows)
    rows, _ = touchstone.scan(source, "urls.jsonl", "--fetch-urls", "--fetch-only", "none.example", expect=1)
    assert "--fetch-store" in rows[0]["error"] and "not among the hosts" in rows[2]["error"]
    assert len(moto.requests()) == asked
    flags = ["--fetch-store", f"s3://{bucket.name}/photos", "--resume"]
    rows, _ = touchstone.scan(source, "out.jsonl", *flags, expect=1)
    assert verdicts(rows) == ["Flagged", None, None]
    assert "not among the stores" in rows[1]["error"] and "--fetch-urls" in rows[2]["error"]
    # The same again is done already; with another store it is another scan.
    asked = len(moto.requests())
    _, said = touchstone.scan(source, "out.jsonl", *flags, expect=1)
    assert "already done" in said and len(moto.requests()) == asked
    rows, said = touchstone.scan(source, "out.jsonl", *flags, "--fetch-store", f"s3://{bucket.name}/other", expect=1)
    assert "already done" not in said and verdicts(rows) == ["Flagged", "Flagged", None]


def test_what_is_there_still_is_not_sent_again(touchstone, bucket, moto):
    bucket("a.jpg", COPY)
    bucket("b.jpg", NOTHING)
    listings = [(f"L{i}", ["a.jpg" if i % 2 else "b.jpg"]) for i in range(200)]
    bucket("listings.jsonl", lines(listings).encode())
    before = len(moto.requests())
    rows, _ = touchstone.scan(f"s3://{bucket.name}/listings.jsonl", "out.jsonl", "--threads", "1")
    assert verdicts(rows) == ["Clear", "Flagged"] * 100
    assert len({row["sha256"] for row in rows}) == 2
    asked = [status for method, path, status in moto.requests()[before:] if path.endswith(".jpg")]
    # Those that were asked for before the first was there came whole.
    assert len(asked) == 200 and asked.count(304) > 100, asked
    # Without a memory for answers they are needed again.
    rows, _ = touchstone.scan(f"s3://{bucket.name}/listings.jsonl", "whole.jsonl", "--threads", "1", "--cache-mib", "0")
    assert verdicts(rows) == ["Clear", "Flagged"] * 100


def test_a_changed_manifest_is_another_scan(touchstone, bucket):
    bucket("a.jpg", COPY)
    bucket("listings.jsonl", lines([("A", ["a.jpg"])]).encode())
    source = f"s3://{bucket.name}/listings.jsonl"
    touchstone.scan(source, "out.jsonl", "--resume")
    _, said = touchstone.scan(source, "out.jsonl", "--resume")
    assert "already done" in said
    bucket("listings.jsonl", lines([("A", ["a.jpg"]), ("B", ["a.jpg"])]).encode())
    rows, said = touchstone.scan(source, "out.jsonl", "--resume")
    assert "already done" not in said and verdicts(rows) == ["Flagged", "Flagged"]


def test_a_killed_scan_goes_on(touchstone, bucket, moto):
    for i in range(60):
        # What follows the end of a JPEG is not looked at.
        bucket(f"photos/{i:03d}.jpg", (NOTHING if i % 7 else COPY) + str(i).encode())
    source, out = f"s3://{bucket.name}/photos/", touchstone.folder / "out.jsonl"
    plain, _ = touchstone.scan(source, "plain.jsonl")
    flags = ["scan", source, "--out", out, *QUICK, "--resume"]
    process = subprocess.Popen(touchstone.command(*flags), env=touchstone.environment(), stderr=subprocess.DEVNULL)
    part = out.with_name("out.jsonl.part")
    while not (part.exists() and part.read_bytes().count(b"\n") > 5):
        assert process.poll() is None, "done before it could be killed"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = len(moto.requests())
    rows, _ = touchstone.scan(source, "out.jsonl", "--resume")
    assert lasting(rows) == lasting(plain)
    fetched = [path for _, path, _ in moto.requests()[before:] if path.endswith(".jpg")]
    assert 0 < len(fetched) < 60


def test_the_night_after_only_what_is_new_is_looked_at(touchstone, bucket):
    bucket("a.jpg", COPY)
    touchstone.scan(f"s3://{bucket.name}/", "first.jsonl")
    bucket("b.jpg", NOTHING)
    rows, _ = touchstone.scan(f"s3://{bucket.name}/", "second.jsonl", "--since", "first.jsonl")
    assert [row["work"] for row in rows] == ["earlier", "computed"]


def test_too_many_bytes_cost_their_own_place(touchstone, bucket):
    bucket("a.jpg", bytes(33 << 20))
    bucket("b.jpg", COPY)
    rows, _ = touchstone.scan(f"s3://{bucket.name}/", "out.jsonl", expect=1)
    assert verdicts(rows) == [None, "Flagged"]
    assert "more than 33554432 bytes" in rows[0]["error"]


def test_trouble_is_told_in_words(touchstone, bucket, tmp_path):
    bucket("a.jpg", COPY)
    listings = touchstone.folder / "listings.jsonl"
    listings.write_text(lines([("A", [f"s3://{bucket.name}/a.jpg"])]))
    named = ["--fetch-store", f"s3://{bucket.name}"]
    # Over plain HTTP only when the environment says so.
    rows, said = touchstone.scan(listings, "http.jsonl", *named, expect=1, AWS_ALLOW_HTTP="false")
    assert "cannot be read" in rows[0]["error"] and "AWS_ALLOW_HTTP" in said
    # Nobody there: a few tries, then the photo failed.
    rows, said = touchstone.scan(listings, "down.jsonl", *named, expect=1, AWS_ENDPOINT_URL=f"http://127.0.0.1:{free_port()}")
    assert "cannot be read" in rows[0]["error"] and "refused" in said
    # No key, where one is asked for.
    strict, process = start_moto(tmp_path / "strict.log", INITIAL_NO_AUTH_ACTION_COUNT="2")
    try:
        client = strict.client()
        client.create_bucket(Bucket=bucket.name)
        client.put_object(Bucket=bucket.name, Key="a.jpg", Body=COPY)
        rows, said = touchstone.scan(listings, "strict.jsonl", *named, expect=1, AWS_ENDPOINT_URL=strict.endpoint)
        assert "does not let itself be read" in rows[0]["error"], rows
        assert KEY["AWS_SECRET_ACCESS_KEY"] not in rows[0]["error"]
    finally:
        stop(process)
    # Before anything is looked at.
    for flag, part in [("az://photos", "account"), ("s3://Photos", "no name of a bucket"), ("photos", "no address of a store")]:
        _, said = touchstone.scan(listings, "bad.jsonl", "--fetch-store", flag, expect=2)
        assert part in said.lower(), said
    for source, part in [(f"s3://{bucket.name}/gone.jsonl", "is not there"), ("s3://x/l.jsonl", "no name of a bucket")]:
        _, said = touchstone.scan(source, "bad.jsonl", expect=2)
        assert part in said, said


def asked(address, path, body=None):
    """Status and JSON of an answer."""
    request = urllib.request.Request(address + path, data=body and json.dumps(body).encode(), headers={"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def served(touchstone, *flags):
    command = touchstone.command("serve", "--open", "--listen", "127.0.0.1:0", *flags)
    process = subprocess.Popen(command, env=touchstone.environment(), stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        found = re.search(r"listening on (http://\S+?),?\s", re.sub(r"\x1b\[[0-9;]*m", "", line))
        if found:
            subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
            return process, found.group(1)
    raise AssertionError(f"the server ended with {process.wait()}")


def test_a_server_reads_stores_only_where_its_operator_named_them(touchstone, bucket, moto):
    bucket("photos/a.jpg", COPY)
    bucket("other/a.jpg", COPY)
    named, other = (f"s3://{bucket.name}/{folder}/a.jpg" for folder in ("photos", "other"))
    before = len(moto.requests())
    for flags, is_read in [([], False), (["--fetch-urls"], False), (["--fetch-store", f"s3://{bucket.name}/photos/"], True)]:
        process, address = served(touchstone, *flags)
        try:
            status, answer = asked(address, "/v1/match", {"url": named})
            assert (status == 200) == is_read, answer
            assert asked(address, "/v1/match", {"url": other})[0] >= 400
            listings = [{"listing_id": "A", "photos": [named]}, {"listing_id": "B", "photos": [other]}, {"listing_id": "C", "photos": [(touchstone.folder / "x.jpg").as_uri()]}]
            status, scan = asked(address, "/v1/scans", {"listings": listings})
            assert status == 202, scan
            for _ in range(600):
                _, scan = asked(address, f"/v1/scans/{scan['id']}")
                if scan["state"] in ("done", "failed"):
                    break
                time.sleep(0.1)
            assert scan["state"] == "done", scan
            with urllib.request.urlopen(f"{address}/v1/scans/{scan['id']}/result") as result:
                rows = [json.loads(line) for line in result.read().splitlines()]
            assert verdicts(rows) == ["Flagged" if is_read else None, None, None]
            assert "--fetch-store" in rows[1]["error"]
        finally:
            stop(process)
    assert not any("/other/" in path for _, path, _ in moto.requests()[before:])


# Azurite's own, the same everywhere.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@pytest.mark.skipif("AZURITE" not in os.environ, reason="AZURITE names no program: make test-azure")
def test_azure(touchstone, tmp_path):
    port = free_port()
    azurite = subprocess.Popen([os.environ["AZURITE"], "--silent", "--disableTelemetry", "--skipApiVersionCheck", "--location", tmp_path / "azurite", "--blobHost", "127.0.0.1", "--blobPort", str(port)])
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/")
            except urllib.error.HTTPError:
                break
            except OSError:
                time.sleep(0.1)
        fill_azure(port, "shop", {"photos/a.jpg": COPY, "photos/b c.jpg": NOTHING, "listings.jsonl": lines([("A", ["photos/a.jpg"]), ("B", ["photos/gone.jpg"])] + [("C", ["photos/a.jpg"])] * 80).encode()})
        store = {"AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY, "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/{ACCOUNT}", "AZURE_ALLOW_HTTP": "true"}
        rows, _ = touchstone.scan("az://shop/photos/", "folder.jsonl", **store)
        assert verdicts(rows) == ["Flagged", "Clear"]
        assert [row["photo"] for row in rows] == ["a.jpg", "b c.jpg"]
        rows, _ = touchstone.scan("az://shop/listings.jsonl", "out.jsonl", "--out", "report.html", expect=1, **store)
        assert verdicts(rows) == ["Flagged", None] + ["Flagged"] * 80
        assert "photos/gone.jpg is not there" in rows[1]["error"]
        rows, _ = touchstone.scan("az://shop/listings.jsonl", "no.jsonl", expect=2, **{**store, "AZURE_STORAGE_ACCOUNT_KEY": "bm8="})
    finally:
        stop(azurite)


def fill_azure(port, container, blobs):
    """Puts blobs, signed by the shared key."""
    import base64
    import hashlib
    import hmac
    import urllib.parse
    from email.utils import formatdate

    def put(path, content, headers, query=""):
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06", **headers}
        named = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
        at = f"/{ACCOUNT}/{urllib.parse.quote(path)}"
        resource = f"/{ACCOUNT}{at}" + "".join(f"\n{part.replace('=', ':')}" for part in filter(None, query.split("&")))
        text = f"PUT\n\n\n{len(content) or ''}\n\napplication/octet-stream\n\n\n\n\n\n\n{named}{resource}"
        signature = base64.b64encode(hmac.new(base64.b64decode(ACCOUNT_KEY), text.encode(), hashlib.sha256).digest()).decode()
        headers |= {"Authorization": f"SharedKey {ACCOUNT}:{signature}", "Content-Type": "application/octet-stream", "Content-Length": str(len(content))}
        request = urllib.request.Request(f"http://127.0.0.1:{port}{at}?{query}".rstrip("?"), data=content, headers=headers, method="PUT")
        urllib.request.urlopen(request).read()

    put(container, b"", {}, "restype=container")
    for key, content in blobs.items():
        put(f"{container}/{key}", content, {"x-ms-blob-type": "BlockBlob"})
