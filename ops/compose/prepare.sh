#!/bin/sh
# The service `prepare`: brings topics, collection, tokens and connector into shape. Runs at each `docker compose up`;
# what is as it should be stays. With --without-capture it leaves the connector out.
set -eu

# A token that is lost cannot be shown again: without its file it is made anew.
keep_token() {
    name=$1
    file=$LOCKSTEP_HOME/$name.token
    shift
    [ -s "$file" ] && return
    lockstep tokens revoke "$name" >/dev/null 2>&1 || true
    lockstep tokens create "$name" "$@" 2>/dev/null >"$file.draft"
    mv "$file.draft" "$file"
}

umask 027
chmod o+x "$LOCKSTEP_HOME"  # for Prometheus, whose user has the group of its token
lockstep topics apply
lockstep collections create
keep_token compose --scope search --scope write --scope operate
keep_token prometheus --scope operate
[ "${1:-}" = --without-capture ] || lockstep connector apply
