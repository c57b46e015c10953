-- SERIAL stands for the engine's own word for a key that counts by itself.
-- Instants are microseconds since 1970, booleans are 0 or 1, JSON is text.

CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('incident', 0), ('token', 0);

CREATE TABLE flocks (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    note TEXT,
    settings TEXT NOT NULL,
    created BIGINT NOT NULL
);
INSERT INTO flocks (id, name, note, settings, created)
    VALUES ('flock:default', 'Default Flock', NULL, '{}', 0);

CREATE TABLE flock_users (
    flock_id TEXT NOT NULL REFERENCES flocks (id) ON DELETE CASCADE,
    email TEXT NOT NULL,
    manager SMALLINT NOT NULL,
    PRIMARY KEY (flock_id, email, manager)
);
CREATE INDEX flock_users_by_email ON flock_users (email);

CREATE TABLE incidents (
    id SERIAL,
    incident_key TEXT NOT NULL UNIQUE,
    hash_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    logtype BIGINT NOT NULL,
    title TEXT NOT NULL,
    subject TEXT NOT NULL,
    node_id TEXT NOT NULL,
    flock_id TEXT NOT NULL,
    src_host TEXT NOT NULL,
    src_port BIGINT NOT NULL,
    src_reverse TEXT NOT NULL,
    dst_host TEXT NOT NULL,
    dst_port BIGINT NOT NULL,
    name TEXT NOT NULL,
    memo TEXT NOT NULL,
    created BIGINT NOT NULL,
    first_event BIGINT NOT NULL,
    last_event BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    updated_id BIGINT NOT NULL,
    events_count BIGINT NOT NULL,
    acknowledged SMALLINT NOT NULL,
    acknowledged_by TEXT NOT NULL,
    deleted SMALLINT NOT NULL
);
CREATE INDEX incidents_by_bundle
    ON incidents (node_id, kind, src_host, deleted, acknowledged, last_event);
CREATE INDEX incidents_by_update ON incidents (deleted, updated_id);
CREATE INDEX incidents_by_state ON incidents (deleted, acknowledged, updated_id);
CREATE INDEX incidents_by_flock ON incidents (flock_id, deleted, updated_id);
CREATE INDEX incidents_by_node ON incidents (node_id, deleted, updated_id);
CREATE INDEX incidents_by_source ON incidents (src_host, deleted, updated_id);
CREATE INDEX incidents_by_created ON incidents (deleted, created);

CREATE TABLE events (
    id SERIAL,
    sighting BYTES NOT NULL UNIQUE,
    incident BIGINT NOT NULL REFERENCES incidents (id),
    happened BIGINT NOT NULL,
    logtype BIGINT NOT NULL,
    src_port BIGINT NOT NULL,
    dst_port BIGINT NOT NULL,
    fields TEXT
);
CREATE INDEX events_by_incident ON events (incident, happened, id);
CREATE INDEX events_by_time ON events (happened, incident);

CREATE TABLE devices (
    node_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    address TEXT NOT NULL,
    personality TEXT NOT NULL,
    version TEXT NOT NULL,
    settings TEXT NOT NULL,
    services TEXT NOT NULL,
    flock_id TEXT NOT NULL REFERENCES flocks (id),
    note TEXT NOT NULL,
    live SMALLINT NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    started BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    reconnect_count BIGINT NOT NULL,
    ignore_general SMALLINT NOT NULL,
    ignore_disconnect SMALLINT NOT NULL,
    ignore_reconnect SMALLINT NOT NULL,
    notify_after_horizon SMALLINT NOT NULL,
    need_reboot SMALLINT NOT NULL
);
CREATE INDEX devices_by_flock ON devices (flock_id);

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    memo TEXT NOT NULL,
    flock_id TEXT NOT NULL REFERENCES flocks (id),
    enabled SMALLINT NOT NULL,
    created BIGINT NOT NULL,
    updated_id BIGINT NOT NULL,
    params TEXT NOT NULL,
    fields TEXT NOT NULL,
    factory_auth TEXT
);
CREATE INDEX tokens_by_update ON tokens (updated_id);
CREATE INDEX tokens_by_flock ON tokens (flock_id, updated_id);

CREATE TABLE factories (
    auth TEXT PRIMARY KEY,
    flock_id TEXT NOT NULL REFERENCES flocks (id) ON DELETE CASCADE,
    memo TEXT NOT NULL,
    created BIGINT NOT NULL
);

CREATE TABLE api_keys (
    key_id TEXT PRIMARY KEY,
    secret_hash BYTES NOT NULL UNIQUE,
    role TEXT NOT NULL,
    flock_id TEXT REFERENCES flocks (id) ON DELETE CASCADE,
    note TEXT NOT NULL,
    created BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    last_used BIGINT
);

CREATE TABLE users (
    email TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    admin SMALLINT NOT NULL,
    disabled SMALLINT NOT NULL,
    created BIGINT NOT NULL,
    last_login BIGINT
);

CREATE TABLE sessions (
    token_hash BYTES PRIMARY KEY,
    email TEXT NOT NULL REFERENCES users (email) ON DELETE CASCADE,
    csrf TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (email);

CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE audit (
    id SERIAL,
    at BIGINT NOT NULL,
    action TEXT NOT NULL,
    message TEXT NOT NULL,
    actor TEXT NOT NULL,
    flock_id TEXT,
    details TEXT,
    user_ip TEXT,
    user_agent TEXT,
    user_language TEXT
);
CREATE INDEX audit_by_time ON audit (at);
