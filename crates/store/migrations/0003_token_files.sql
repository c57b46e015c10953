-- Files that somebody uploaded for a token.
CREATE TABLE token_uploads (
    token TEXT NOT NULL REFERENCES tokens (id),
    param TEXT NOT NULL,
    name TEXT NOT NULL,
    mime TEXT NOT NULL,
    content BYTES NOT NULL,
    PRIMARY KEY (token, param)
);

-- Other keys by which channels find a token.
CREATE TABLE token_aliases (
    channel TEXT NOT NULL,
    key TEXT NOT NULL,
    token TEXT NOT NULL REFERENCES tokens (id),
    PRIMARY KEY (channel, key)
);
CREATE INDEX token_aliases_by_token ON token_aliases (token);

-- Where the channels were when a token was made, as JSON; null for tokens made before that was kept.
ALTER TABLE tokens ADD COLUMN places TEXT;
