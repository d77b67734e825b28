//! The worked examples and the samples of the specification pass without an error.

use std::path::Path;

use super::{folder, json};

#[test]
fn the_products_own_examples_have_no_errors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (code, report) = json(root, &["migrations"]);
    assert_eq!(code, Some(0), "{report}");
    assert!(report["migrations"].as_array().unwrap().len() >= 23);
}

/// The content of the samples gives warnings at most, each alone in its folder.
#[test]
fn s2_74_s2_88_s2_89_s4_24_samples_give_warnings_at_most() {
    for (id, sql) in [
        ("S2-74", "UPDATE users SET email = LOWER(email) WHERE email IS NOT NULL AND email != LOWER(email);\n"),
        (
            "S2-88",
            "-- Migration: Add email verification\n-- Type: SCHEMA_CHANGE\n-- Risk: LOW\n\
             ALTER TABLE users ADD COLUMN email_verified BOOLEAN DEFAULT FALSE;\n\
             CREATE INDEX idx_users_email_verified ON users(email_verified);\n",
        ),
        (
            "S2-89",
            "BEGIN;\nALTER TABLE orders ADD COLUMN status_updated_at TIMESTAMP;\n\
             UPDATE orders SET status_updated_at = updated_at WHERE status_updated_at IS NULL;\n\
             SELECT COUNT(*) FROM orders WHERE status_updated_at IS NULL; -- Should return 0\nCOMMIT;\n",
        ),
        (
            "S4-24",
            "CREATE TABLE IF NOT EXISTS users (id SERIAL PRIMARY KEY, username VARCHAR(255) UNIQUE NOT NULL, \
             email VARCHAR(255) UNIQUE NOT NULL);\nCREATE INDEX IF NOT EXISTS idx_users_username ON users(username);\n",
        ),
        (
            "3.4",
            "CREATE TABLE IF NOT EXISTS user_roles (\n    id SERIAL PRIMARY KEY,\n    user_id INTEGER NOT NULL,\n    \
             role_name VARCHAR(255) NOT NULL,\n    UNIQUE (user_id, role_name)\n);\n\
             CREATE INDEX IF NOT EXISTS idx_user_roles_role_name ON user_roles(role_name);\n",
        ),
        (
            "3.6",
            "CREATE TABLE IF NOT EXISTS user_service.users (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email TEXT NOT NULL);\n",
        ),
        (
            "3.7",
            "-- Migration: Add user preferences table\n-- Type: SCHEMA_CHANGE\n-- Risk: LOW\n-- Duration: 5m\n\
             CREATE TABLE user_preferences (\n    id SERIAL PRIMARY KEY,\n    user_id INTEGER REFERENCES users(id),\n    \
             preferences JSONB DEFAULT '{}',\n    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP\n);\n\
             CREATE INDEX idx_user_preferences_user_id ON user_preferences(user_id);\n",
        ),
        (
            "S2-75",
            "DO $$\nDECLARE n int := 0;\nBEGIN\n  LOOP\n    UPDATE t SET a = 1 WHERE id IN (SELECT id FROM t WHERE a IS NULL LIMIT 1000);\n    \
             EXIT WHEN NOT FOUND;\n    RAISE NOTICE 'Processed % of % records', n, 10;\n  END LOOP;\nEND $$;\n",
        ),
    ] {
        let dir = folder(&[("migrations/postgresql/001_sample.up.sql", sql)]);
        let (code, report) = json(dir.path(), &[]);
        assert_eq!(code, Some(0), "{id}: {report}");
    }
}

/// 3.4: the pair of a JSON file and a script, with its rollback.
#[test]
fn s4_24_the_typed_pair_passes() {
    let dir = folder(&[
        (
            "migrations/postgresql/001_initial_schema.json",
            r#"{"version":"1.0.0","name":"initial_schema","description":"First","database_type":"postgresql","migration_type":"schema"}"#,
        ),
        ("migrations/postgresql/001_initial_schema.sql", "CREATE TABLE IF NOT EXISTS users (id SERIAL PRIMARY KEY);\n"),
        ("migrations/postgresql/001_initial_schema_rollback.sql", "DROP TABLE IF EXISTS users;\n"),
        (
            "migrations/postgresql/002_add_user_roles.json",
            r#"{"version":"1.1.0","name":"add_user_roles","description":"Role table","database_type":"postgresql","migration_type":"schema","depends_on":["001_initial_schema"]}"#,
        ),
        (
            "migrations/postgresql/002_add_user_roles.sql",
            "CREATE TABLE IF NOT EXISTS user_roles (id SERIAL PRIMARY KEY, user_id INTEGER NOT NULL, role_name VARCHAR(255) NOT NULL, UNIQUE (user_id, role_name));\n",
        ),
        ("migrations/postgresql/002_add_user_roles_rollback.sql", "DROP TABLE IF EXISTS user_roles;\n"),
    ]);
    let (code, report) = json(dir.path(), &[]);
    assert_eq!(code, Some(0), "{report}");
    let ids: Vec<_> = report["migrations"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["001_initial_schema", "002_add_user_roles"]);
}
