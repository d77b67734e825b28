#!/bin/sh
# What `benchmark-migration.sh …` runs now.
exec "${GODWIT:-godwit}" benchmark "$@"
