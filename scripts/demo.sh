#!/usr/bin/env bash
# Registers the fixtures' assets in a home of their own, scans the fixtures' listings, and shows one
# photo of each kind. Everything it writes is in demo/.
set -euo pipefail
cd "$(dirname "$0")/.."

touchstone=target/release/touchstone
export TOUCHSTONE_HOME=demo/home
rm -rf demo && mkdir -p demo

say() { printf '\n\033[1m%s\033[0m\n' "$*" >&2; }

say "1. Brands register their marks and packs (fixtures/assets.csv)"
"$touchstone" register fixtures/assets.csv

say "2. Every photo of 90 listings is compared with them (fixtures/listings.jsonl)"
"$touchstone" scan fixtures/listings.jsonl --out demo/findings.jsonl --out demo/findings.csv --out demo/report.html

say "3. One photo of each kind, and one that only looks like it"
"$touchstone" match --explain $(cat fixtures/showcase.txt)

say "4. How good is that? Every fixture photo is labelled:"
"$touchstone" eval --assets fixtures/assets.csv --photos fixtures/photos.csv

cat >&2 <<END

Next:
  open demo/report.html                                            every finding beside the registered picture
  $touchstone --home demo/home match PHOTO...       compare your own photos
  $touchstone --home demo/home register PICTURE --brand YOURS
  $touchstone --home demo/home serve --open         the console in your browser
END
