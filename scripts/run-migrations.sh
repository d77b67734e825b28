#!/bin/sh
# What `scripts/run-migrations.sh dev|staging|prod` runs now.
[ $# -ge 1 ] || { echo "usage: scripts/run-migrations.sh dev|staging|prod" >&2; exit 2; }
exec "${GODWIT:-godwit}" migrate "$@"
