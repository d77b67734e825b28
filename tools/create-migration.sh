#!/bin/sh
# What `tools/create-migration.sh [--type SCHEMA_CHANGE --description "…" …]` runs now; without arguments it asks.
exec "${GODWIT:-godwit}" new "$@"
