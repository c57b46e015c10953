-- Public keys of breadcrumbs: whoever logs in with one has found the private key.
CREATE TABLE breadcrumb_keys (
    key TEXT PRIMARY KEY,
    reminder TEXT NOT NULL,
    node_id TEXT,
    flock_id TEXT,
    created BIGINT NOT NULL
);
