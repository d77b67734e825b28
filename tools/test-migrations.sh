#!/bin/sh
# What `test-migrations.sh …` runs now.
exec "${GODWIT:-godwit}" test "$@"
