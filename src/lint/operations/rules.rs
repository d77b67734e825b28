//! The table of the rules about operations.

use crate::ids::Risk::{High, Low, Medium};
use crate::lint::Category::{Compatibility, Destructive, Fails, Lock, Security, Structure, Style};
use crate::lint::Severity;
use crate::lint::table::Applies::{Elasticsearch, Files, Mongodb, Operations, Redis};
use crate::lint::table::{RuleInfo, rule};

const ERROR: Option<Severity> = Some(Severity::Error);
const WARN: Option<Severity> = Some(Severity::Warning);
const INFO: Option<Severity> = Some(Severity::Info);

macro_rules! rules {
    ($($name:ident = $id:literal, $category:expr, $severity:expr, $risk:expr, $applies:expr, $title:literal;)*) => {
        $(pub(super) static $name: RuleInfo = rule($id, $category, $severity, $risk, $applies, $title);)*
        /// Every rule about operations.
        pub(in crate::lint) static RULES: &[&RuleInfo] = &[$(&$name),*];
    };
}

rules! {
    // Every engine
    IRREVERSIBLE = "irreversible-operation", Structure, ERROR, High, Operations, "An operation cannot be taken back, and no rollback is given";
    USED_BEFORE_CREATED = "used-before-created", Fails, ERROR, High, Operations, "Uses what only a later operation makes";
    VERSION_CONTENT = "version-content", Structure, WARN, Low, Files, "The version does not say what the migration does";
    // MongoDB
    INVALID_VALIDATOR = "invalid-validator", Fails, ERROR, High, Mongodb, "A validator that the server refuses";
    UPDATE_WITHOUT_FILTER = "update-without-filter", Destructive, ERROR, High, Mongodb, "Updates every document of a collection";
    FILTER_MATCHES_ALL = "filter-matches-all", Destructive, WARN, High, Mongodb, "A filter that leaves nothing out, or runs JavaScript";
    INVALID_UPDATE = "invalid-update", Fails, ERROR, High, Mongodb, "An update that the server refuses";
    REMOVE_FIELD = "remove-field", Destructive, WARN, High, Mongodb, "Removes a field with its values";
    RENAME_FIELD = "rename-field", Compatibility, WARN, High, Mongodb, "Renames a field under the running application";
    INDEX_ON_DATA = "index-on-data", Lock, WARN, Medium, Mongodb, "Builds an index on an existing collection";
    UNIQUE_INDEX_ON_DATA = "unique-index-on-data", Fails, WARN, High, Mongodb, "Unique index fails on duplicates that are there";
    INDEX_CONFLICT = "index-conflict", Fails, ERROR, High, Mongodb, "An index of that name is made otherwise already";
    BACKGROUND_INDEX = "background-index", Style, INFO, Low, Mongodb, "The option background means nothing any more";
    TTL_INDEX_ON_DATA = "ttl-index-on-data", Destructive, WARN, High, Mongodb, "TTL index deletes old documents at once";
    MONGODB_DROP_INDEX = "drop-index", Compatibility, WARN, Medium, Mongodb, "Drops an index queries may need";
    DROP_COLLECTION = "drop-collection", Destructive, WARN, High, Mongodb, "Drops a collection with its documents";
    RENAME_COLLECTION = "rename-collection", Compatibility, WARN, High, Mongodb, "Renames a collection under the running application";
    STRICT_VALIDATOR = "strict-validator", Compatibility, WARN, Medium, Mongodb, "Writes to documents that are there may be refused";
    RUN_COMMAND = "run-command", Structure, WARN, High, Mongodb, "A command of which nothing is known";
    FIELD_WITHOUT_BATCH = "field-without-batch", Lock, INFO, Medium, Mongodb, "Writes every document of a collection";
    REPLACED_SUBDOCUMENT = "replaced-subdocument", Destructive, WARN, Medium, Mongodb, "Puts a whole object in a field's place";
    FIRST_MATCH_ONLY = "first-match-only", Structure, WARN, Medium, Mongodb, "Changes one document, whichever is found first";
    UNKNOWN_OPTION = "unknown-option", Fails, WARN, Medium, Mongodb, "An option that no server knows";
    FIXED_OPTION = "fixed-option", Fails, ERROR, High, Mongodb, "Shard key, capped or time-series options stay as they are";
    COLLECTION_CONFLICT = "collection-conflict", Fails, ERROR, High, Mongodb, "The collection is there with other options";
    DESTRUCTIVE_COMMAND = "destructive-command", Destructive, ERROR, High, Mongodb, "A bare command that takes data or every index away";
    // Elasticsearch
    INDEX_EXISTS = "index-exists", Fails, ERROR, High, Elasticsearch, "The index is there already";
    FIELD_LEFT_OUT = "field-left-out", Compatibility, WARN, High, Elasticsearch, "The new index does not map a field of the old one";
    MAPPING_EXPLOSION = "mapping-explosion", Lock, WARN, Medium, Elasticsearch, "The mapping grows without end";
    MAPPING_TYPES = "mapping-types", Fails, ERROR, High, Elasticsearch, "Mapping types are gone since Elasticsearch 8";
    SOURCE_DISABLED = "source-disabled", Fails, WARN, High, Elasticsearch, "An index without its documents' source";
    INDEX_WITHOUT_ALIAS = "index-without-alias", Compatibility, INFO, Medium, Elasticsearch, "An index that no alias names";
    ALIAS_GAP = "alias-gap", Compatibility, WARN, High, Elasticsearch, "An alias is gone for a while, or for good";
    REINDEX_NOT_AWAITED = "reindex-not-awaited", Fails, WARN, Medium, Elasticsearch, "The next operation does not wait for the copy";
    BULK_SETTINGS_LEFT = "bulk-settings-left", Compatibility, WARN, Medium, Elasticsearch, "Settings for a bulk load stay behind";
    INDEX_BLOCKED = "index-blocked", Compatibility, WARN, High, Elasticsearch, "A block stays on an index";
    INDEX_NAME = "index-name", Destructive, ERROR, High, Elasticsearch, "Not the name of one index";
    MAPPING_TYPE_CHANGE = "mapping-type-change", Fails, ERROR, High, Elasticsearch, "A field's mapping cannot be changed in place";
    INVALID_MAPPING = "invalid-mapping", Fails, ERROR, High, Elasticsearch, "A mapping that the server refuses";
    STATIC_SETTING = "static-setting", Fails, ERROR, High, Elasticsearch, "A setting that an open index does not take";
    DELETE_INDEX = "delete-index", Destructive, WARN, High, Elasticsearch, "Deletes an index with its documents";
    REINDEX_ONTO_ITSELF = "reindex-onto-itself", Fails, ERROR, High, Elasticsearch, "Source and destination are one index";
    REINDEX_UNKNOWN_DEST = "reindex-unknown-dest", Compatibility, WARN, High, Elasticsearch, "No operation makes the index that is filled";
    REINDEX_LOAD = "reindex-load", Lock, WARN, Medium, Elasticsearch, "Copies a whole index";
    QUERY_MATCHES_ALL = "query-matches-all", Destructive, ERROR, High, Elasticsearch, "The query leaves no document out";
    DELETE_BY_QUERY = "delete-by-query", Destructive, WARN, High, Elasticsearch, "Deletes documents";
    UPDATE_BY_QUERY = "update-by-query", Lock, WARN, Medium, Elasticsearch, "Changes documents in place";
    // Redis
    LUA_SYNTAX = "lua-syntax", Fails, ERROR, High, Redis, "The Lua script does not compile";
    LUA_GLOBAL = "lua-global", Fails, ERROR, High, Redis, "Redis refuses global variables";
    KEYS_COMMAND = "keys-command", Lock, ERROR, High, Redis, "KEYS looks at every key while everything waits";
    FLUSH_COMMAND = "flush-command", Destructive, ERROR, High, Redis, "Empties or swaps whole databases";
    ADMIN_COMMAND = "admin-command", Security, ERROR, High, Redis, "A command that administers the server";
    REFUSED_IN_SCRIPT = "refused-in-script", Fails, ERROR, High, Redis, "A command that no script may call";
    UNDECLARED_KEY = "undeclared-key", Fails, ERROR, High, Redis, "A key that does not come from KEYS";
    SCAN_IN_SCRIPT = "scan-in-script", Lock, WARN, High, Redis, "SCAN inside a script stops everything else";
    ENDLESS_LOOP = "endless-loop", Fails, ERROR, High, Redis, "A loop that nothing ends";
    CROSS_SLOT = "cross-slot", Fails, WARN, High, Redis, "The keys lie in several slots";
    LOST_EXPIRY = "lost-expiry", Compatibility, WARN, Medium, Redis, "SET takes a key's lifetime away";
    NO_RETURN = "no-return", Style, INFO, Low, Redis, "The script does not say what it changed";
    NOT_REPEATABLE = "not-repeatable", Fails, WARN, Medium, Redis, "Writes that add up when a failed script is run again";
    BIG_KEY_COMMAND = "big-key-command", Lock, WARN, Medium, Redis, "A command whose time grows with the key";
    RENAME_OVER_KEY = "rename-over-key", Destructive, WARN, Medium, Redis, "RENAME drops the key of the new name";
    VALUES_IN_SCRIPT = "values-in-script", Lock, WARN, Medium, Redis, "Values pasted into the script instead of ARGV";
    RANDOM_BEFORE_WRITE = "random-before-write", Compatibility, INFO, Low, Redis, "Writes what time or chance decided";
    DELETE_KEYS = "delete-keys", Destructive, WARN, High, Redis, "Deletes keys with their values";
    RENAME_KEYS = "rename-keys", Compatibility, WARN, High, Redis, "Renames keys under the running application";
    SET_TTL = "set-ttl", Destructive, WARN, Medium, Redis, "Keys vanish when their time is over";
    PATTERN_MATCHES_ALL = "pattern-matches-all", Destructive, WARN, High, Redis, "The pattern leaves no key out";
}
