#!/bin/sh
# What `test-rollback.sh …` runs now.
exec "${GODWIT:-godwit}" test-rollback "$@"
