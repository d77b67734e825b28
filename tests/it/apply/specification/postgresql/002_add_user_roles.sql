CREATE TABLE IF NOT EXISTS user_roles (
    id SERIAL PRIMARY KEY,
    user_id INTEGER NOT NULL,
    role_name VARCHAR(255) NOT NULL,
    UNIQUE (user_id, role_name)
);
CREATE INDEX IF NOT EXISTS idx_user_roles_role_name ON user_roles(role_name);
