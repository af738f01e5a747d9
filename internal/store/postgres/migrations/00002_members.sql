-- +goose Up
-- Who has members. The number stands for the resource in each of them, and is never used again: a list that was deleted
-- leaves its members to be swept, and whatever has its id next does not see them.
CREATE TABLE member_owners (
    number  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL,
    region  TEXT COLLATE "C" NOT NULL,
    kind    TEXT COLLATE "C" NOT NULL,
    id      TEXT COLLATE "C" NOT NULL,
    n       BIGINT NOT NULL, -- members
    dropped BOOLEAN NOT NULL DEFAULT false -- the resource was deleted
);

CREATE UNIQUE INDEX member_owners_by_id ON member_owners (account, region, kind, id) WHERE NOT dropped;
CREATE INDEX member_owners_dropped ON member_owners (number) WHERE dropped;

CREATE TABLE members (
    owner   BIGINT NOT NULL, -- a number of member_owners
    key     TEXT COLLATE "C" NOT NULL,
    text    TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL, -- microseconds since 1970
    PRIMARY KEY (owner, key)
);

CREATE INDEX members_by_text ON members (owner, text);
