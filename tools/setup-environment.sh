#!/bin/sh
# What `setup-environment.sh` runs now: `.env.template`, and `.env` where there is none.
exec "${GODWIT:-godwit}" init env "$@"
