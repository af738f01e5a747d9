-- Texts compare and order as octets, whatever locale the database has. What callers write as they please, tokens and
-- tags, is BYTEA: TEXT takes no U+0000 and nothing but UTF-8.

-- +goose Up
CREATE TABLE resources (
    account  TEXT COLLATE "C" NOT NULL,
    region   TEXT COLLATE "C" NOT NULL,
    kind     TEXT COLLATE "C" NOT NULL,
    id       TEXT COLLATE "C" NOT NULL,
    name     TEXT COLLATE "C" NOT NULL,
    counted  TEXT COLLATE "C" NOT NULL,
    created  BIGINT NOT NULL, -- microseconds since 1970
    modified BIGINT NOT NULL, -- microseconds since 1970
    revision BIGINT NOT NULL,
    body     BYTEA NOT NULL,
    PRIMARY KEY (account, region, kind, id),
    CONSTRAINT resources_by_name UNIQUE (account, region, kind, name)
);

CREATE INDEX resources_by_age ON resources (account, region, kind, created, id);
CREATE INDEX resources_by_kind ON resources (kind);

CREATE TABLE uses (
    account   TEXT COLLATE "C" NOT NULL,
    region    TEXT COLLATE "C" NOT NULL,
    kind      TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    used_kind TEXT COLLATE "C" NOT NULL,
    used_id   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (account, region, kind, id, used_kind, used_id),
    FOREIGN KEY (account, region, kind, id) REFERENCES resources ON DELETE CASCADE,
    FOREIGN KEY (account, region, used_kind, used_id) REFERENCES resources
);

CREATE INDEX uses_by_used ON uses (account, region, used_kind, used_id);

CREATE TABLE parts (
    account TEXT COLLATE "C" NOT NULL,
    region  TEXT COLLATE "C" NOT NULL,
    kind    TEXT COLLATE "C" NOT NULL,
    id      TEXT COLLATE "C" NOT NULL,
    name    TEXT COLLATE "C" NOT NULL,
    octets  BYTEA NOT NULL,
    PRIMARY KEY (account, region, kind, id, name),
    FOREIGN KEY (account, region, kind, id) REFERENCES resources ON DELETE CASCADE
);

CREATE TABLE tags (
    account TEXT COLLATE "C" NOT NULL,
    region  TEXT COLLATE "C" NOT NULL,
    kind    TEXT COLLATE "C" NOT NULL,
    id      TEXT COLLATE "C" NOT NULL,
    key     BYTEA NOT NULL,
    value   BYTEA NOT NULL,
    PRIMARY KEY (account, region, kind, id, key),
    FOREIGN KEY (account, region, kind, id) REFERENCES resources ON DELETE CASCADE
);

-- How many resources are counted alike, so that a quota is checked without counting them.
CREATE TABLE counts (
    account TEXT COLLATE "C" NOT NULL,
    region  TEXT COLLATE "C" NOT NULL,
    counted TEXT COLLATE "C" NOT NULL,
    n       BIGINT NOT NULL,
    PRIMARY KEY (account, region, counted)
);

CREATE TABLE client_tokens (
    account     TEXT COLLATE "C" NOT NULL,
    region      TEXT COLLATE "C" NOT NULL,
    operation   TEXT COLLATE "C" NOT NULL,
    token       BYTEA NOT NULL,
    fingerprint BYTEA NOT NULL,
    response    BYTEA NOT NULL,
    expires     BIGINT NOT NULL, -- microseconds since 1970
    PRIMARY KEY (account, region, operation, token)
);

CREATE INDEX client_tokens_by_expiry ON client_tokens (expires);
