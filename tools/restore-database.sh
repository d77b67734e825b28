#!/bin/sh
# What `restore-database.sh …` runs now.
exec "${GODWIT:-godwit}" restore "$@"
