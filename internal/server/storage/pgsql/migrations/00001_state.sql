-- +goose Up

-- One row a series: its newest value. kind, name and labels are its identity and
-- never change, so updates touch no index and are HOT; the fill factor leaves
-- them room on their page.
CREATE TABLE series (
    kind        smallint NOT NULL,             -- 1 gauge, 2 counter
    name        text     COLLATE "C" NOT NULL,
    labels      text     COLLATE "C" NOT NULL, -- JSON: {"a":"1","b":"2"}, sorted; or sha256:… when long
    long_labels text     COLLATE "C",          -- the JSON, when labels is its digest
    counter     bigint,                        -- the total of a counter
    gauge       double precision,              -- the newest value of a gauge
    newest      bigint   NOT NULL,             -- time of the newest value, Unix milliseconds
    PRIMARY KEY (kind, name, labels)
) WITH (fillfactor = 70);

-- One row a sender that marks its batches: which of them were applied.
CREATE TABLE producers (
    name text      COLLATE "C" PRIMARY KEY,
    high bigint    NOT NULL,                   -- the highest sequence number applied
    bits bit(1025),                            -- bit i: high-i was applied; null: a key of one batch
    seen bigint    NOT NULL                    -- uptime at its last batch; an index would cost every update its HOT
) WITH (fillfactor = 50);

-- One row: for how long servers have run on this database, in seconds. Producers
-- are forgotten by it. Time nobody ran doesn't count, and a clock that is set
-- wrong counts for two hours at most.
CREATE TABLE uptime (
    one        boolean     PRIMARY KEY DEFAULT true CHECK (one),
    seconds    bigint      NOT NULL DEFAULT 0,
    counted_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO uptime DEFAULT VALUES;
