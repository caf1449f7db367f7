-- +goose Up

-- One row: how many rows series has. Whoever adds or removes some keeps it right,
-- in the same transaction, SQL by hand included.
CREATE TABLE series_count (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    n   bigint  NOT NULL
) WITH (fillfactor = 10);
-- Nobody adds a series between the count and the trigger.
LOCK TABLE series IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO series_count (n) SELECT count(*) FROM series;

-- Rows that ON CONFLICT updates are not among the added ones. The limit is the
-- session's; none means any number. Every batch calls this, so what doesn't add
-- anything touches nothing.
-- +goose StatementBegin
CREATE FUNCTION series_added() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    more  bigint := (SELECT count(*) FROM added);
    total bigint;
    most  bigint := coalesce(nullif(current_setting('gometheus.max_series', true), ''), '0')::bigint;
BEGIN
    IF more = 0 THEN
        RETURN NULL;
    END IF;
    -- Looked at without a lock first, so that a flood of refused batches doesn't
    -- queue for the row.
    IF most > 0 AND (SELECT n FROM series_count) + more > most THEN
        RAISE EXCEPTION 'too many series' USING ERRCODE = 'GM429', DETAIL = most;
    END IF;
    UPDATE series_count SET n = n + more RETURNING n INTO total;
    IF most > 0 AND total > most THEN
        RAISE EXCEPTION 'too many series' USING ERRCODE = 'GM429', DETAIL = most;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION series_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE series_count SET n = n - (SELECT count(*) FROM removed) WHERE EXISTS (SELECT FROM removed);
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION series_truncated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE series_count SET n = 0;
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER series_added AFTER INSERT ON series
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION series_added();
CREATE TRIGGER series_removed AFTER DELETE ON series
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION series_removed();
CREATE TRIGGER series_truncated AFTER TRUNCATE ON series
    FOR EACH STATEMENT EXECUTE FUNCTION series_truncated();
