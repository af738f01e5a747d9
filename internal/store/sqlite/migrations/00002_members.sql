-- +goose Up
-- Who has members. The number stands for the resource in each of them, and is never used again: a list that was deleted
-- leaves its members to be swept, and whatever has its id next does not see them.
CREATE TABLE member_owners (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT    NOT NULL,
    region  TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    id      TEXT    NOT NULL,
    n       INTEGER NOT NULL, -- members
    dropped INTEGER NOT NULL DEFAULT 0 -- 1: the resource was deleted
) STRICT;

CREATE UNIQUE INDEX member_owners_by_id ON member_owners (account, region, kind, id) WHERE dropped = 0;
CREATE INDEX member_owners_dropped ON member_owners (dropped) WHERE dropped = 1;

CREATE TABLE members (
    owner   INTEGER NOT NULL, -- a number of member_owners
    key     TEXT    NOT NULL,
    text    TEXT    NOT NULL,
    created INTEGER NOT NULL, -- microseconds since 1970
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX members_by_text ON members (owner, text);
