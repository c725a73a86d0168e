-- Format 1. Never edit a released format: add the next one as a file of its own.
--
-- entry: one row per entry; `expires` is in seconds since the epoch, by the server's clock.
-- message: one row per message, in order of enqueue (`seq`). The index that `lease` walks holds *heads* only: messages
-- without a group, and the first of each group. `due` is the time at which a head may be leased: its due time while it
-- waits, the end of its lease while it is leased. Keys and labels are bytes: text refuses NUL, and has a collation.
-- format: the number of the format, and a random name of this installation, by which `enlist` knows its database.

CREATE TABLE {schema}.format (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), format int NOT NULL, installation uuid NOT NULL
);
INSERT INTO {schema}.format (format, installation) VALUES (0, gen_random_uuid());

CREATE TABLE {schema}.entry (k bytea PRIMARY KEY, version bytea NOT NULL, expires float8, value bytea NOT NULL);
CREATE INDEX entry_expires ON {schema}.entry (expires) WHERE expires IS NOT NULL;

CREATE TABLE {schema}.message (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id bytea NOT NULL, lane bytea NOT NULL, grp bytea, dedup bytea,
    delay_s float8 NOT NULL, due float8 NOT NULL, head boolean NOT NULL, leased boolean NOT NULL DEFAULT false,
    attempt int NOT NULL DEFAULT 0, token bytea, body bytea NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
CREATE INDEX message_due ON {schema}.message (lane, due) WHERE head;
CREATE INDEX message_group ON {schema}.message (lane, grp, seq) WHERE grp IS NOT NULL;
CREATE UNIQUE INDEX message_dedup ON {schema}.message (lane, dedup) WHERE dedup IS NOT NULL AND NOT leased;
