#!/bin/sh
# What `setup-migration-framework.sh …` runs now.
exec "${GODWIT:-godwit}" init "$@"
