-- +goose Up
CREATE TABLE resources (
    account  TEXT    NOT NULL,
    region   TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    id       TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    counted  TEXT    NOT NULL,
    created  INTEGER NOT NULL, -- microseconds since 1970
    modified INTEGER NOT NULL, -- microseconds since 1970
    revision INTEGER NOT NULL,
    body     BLOB    NOT NULL,
    PRIMARY KEY (account, region, kind, id),
    UNIQUE (account, region, kind, name)
) STRICT;

CREATE INDEX resources_by_age ON resources (account, region, kind, created, id);
CREATE INDEX resources_by_kind ON resources (kind);

CREATE TABLE uses (
    account   TEXT NOT NULL,
    region    TEXT NOT NULL,
    kind      TEXT NOT NULL,
    id        TEXT NOT NULL,
    used_kind TEXT NOT NULL,
    used_id   TEXT NOT NULL,
    PRIMARY KEY (account, region, kind, id, used_kind, used_id),
    FOREIGN KEY (account, region, kind, id) REFERENCES resources ON DELETE CASCADE,
    FOREIGN KEY (account, region, used_kind, used_id) REFERENCES resources
) STRICT, WITHOUT ROWID;

CREATE INDEX uses_by_used ON uses (account, region, used_kind, used_id);

CREATE TABLE parts (
    account TEXT NOT NULL,
    region  TEXT NOT NULL,
    kind    TEXT NOT NULL,
    id      TEXT NOT NULL,
    name    TEXT NOT NULL,
    octets  BLOB NOT NULL,
    PRIMARY KEY (account, region, kind, id, name),
    FOREIGN KEY (account, region, kind, id) REFERENCES resources ON DELETE CASCADE
) STRICT;

CREATE TABLE tags (
    account TEXT NOT NULL,
    region  TEXT NOT NULL,
    kind    TEXT NOT NULL,
    id      TEXT NOT NULL,
    key     TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (account, region, kind, id, key),
    FOREIGN KEY (account, region, kind, id) REFERENCES resources ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- How many resources are counted alike, so that a quota is checked without counting them.
CREATE TABLE counts (
    account TEXT    NOT NULL,
    region  TEXT    NOT NULL,
    counted TEXT    NOT NULL,
    n       INTEGER NOT NULL,
    PRIMARY KEY (account, region, counted)
) STRICT, WITHOUT ROWID;

CREATE TABLE client_tokens (
    account     TEXT    NOT NULL,
    region      TEXT    NOT NULL,
    operation   TEXT    NOT NULL,
    token       TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL,
    response    BLOB    NOT NULL,
    expires     INTEGER NOT NULL, -- microseconds since 1970
    PRIMARY KEY (account, region, operation, token)
) STRICT;

CREATE INDEX client_tokens_by_expiry ON client_tokens (expires);
