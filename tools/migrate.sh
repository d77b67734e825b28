#!/bin/sh
# What `tools/migrate.sh migrate|status|rollback|validate|approve|lock|unlock|reset|restore …` runs now.
exec "${GODWIT:-godwit}" "$@"
