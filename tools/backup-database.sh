#!/bin/sh
# What `backup-database.sh …` runs now.
exec "${GODWIT:-godwit}" backup "$@"
