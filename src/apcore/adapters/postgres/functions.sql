-- The functions behind the ports. Each method of a port is one call, so one round trip and one transaction.
--
-- Names end with a revision. A released function is never changed: a change comes as the next revision beside it, so
-- two releases can share a database during an upgrade.
--
-- All of it relies on READ COMMITTED, where each statement of a volatile function sees what was committed before it. The
-- locks come first, in the order of their numbers: exclusive for the keys of checks, Puts and Deletes, and for the
-- groups and dedups of messages; shared for the keys of increments. So a check sees the last commit that wrote its key,
-- and increments do not wait for each other. Rows of counters are locked last, in key order.
--
-- No statement here fails on what a caller can send, since a failure would abort the application's transaction.

CREATE FUNCTION {schema}.moment_1(test_now float8) RETURNS float8 LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(test_now, extract(epoch FROM clock_timestamp())::float8)
$$;

CREATE FUNCTION {schema}.lock_1(locks bigint[], shared boolean[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. cardinality(locks) LOOP
        IF shared[i] THEN
            PERFORM pg_advisory_xact_lock_shared(locks[i]);
        ELSE
            PERFORM pg_advisory_xact_lock(locks[i]);
        END IF;
    END LOOP;
END
$$;

-- The lock number of a group. The client computes the same one (calls.py).
CREATE FUNCTION {schema}.group_lock_1(lane bytea, grp bytea) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT ('x' || encode(substr(sha256('\x67'::bytea || int4send(length(lane)) || lane || grp), 1, 8), 'hex'))
        ::bit(64)::bigint
$$;

-- Make the first message of a group its head.
CREATE FUNCTION {schema}.promote_1(of_lane bytea, of_group bytea) RETURNS void LANGUAGE sql VOLATILE AS $$
    UPDATE {schema}.message SET head = true WHERE NOT head AND seq =
        (SELECT seq FROM {schema}.message WHERE lane = of_lane AND grp = of_group ORDER BY seq LIMIT 1)
$$;

CREATE FUNCTION {schema}.add_messages_1(
    ids bytea[], lanes bytea[], groups bytea[], dedups bytea[], delays float8[], bodies bytea[], moment float8
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    is_head boolean;
    wakes boolean := false;
BEGIN
    FOR i IN 1 .. cardinality(ids) LOOP
        INSERT INTO {schema}.message AS m (id, lane, grp, dedup, delay_s, due, body, head)
            VALUES (ids[i], lanes[i], groups[i], dedups[i], delays[i], moment + delays[i], bodies[i],
                groups[i] IS NULL
                OR NOT EXISTS (SELECT 1 FROM {schema}.message o WHERE o.lane = lanes[i] AND o.grp = groups[i]))
            ON CONFLICT (lane, dedup) WHERE dedup IS NOT NULL AND NOT leased
            DO UPDATE SET due = least(m.due, excluded.due)
            RETURNING head INTO is_head;
        wakes := wakes OR is_head;
    END LOOP;
    IF wakes THEN
        PERFORM pg_notify('{schema}', '');
    END IF;
END
$$;

-- End leases, and return the tokens of those that were lost. Without a delay, the message is done.
CREATE FUNCTION {schema}.end_leases_1(seqs bigint[], tokens bytea[], delays float8[], moment float8)
RETURNS SETOF bytea LANGUAGE plpgsql AS $$
DECLARE
    leased_row record;
    newcomer record;
    due_at float8;
BEGIN
    FOR i IN 1 .. cardinality(seqs) LOOP
        SELECT lane, grp, dedup INTO leased_row FROM {schema}.message
            WHERE seq = seqs[i] AND token = tokens[i] FOR UPDATE;
        IF NOT FOUND THEN
            RETURN NEXT tokens[i];
            CONTINUE;
        END IF;
        IF delays[i] IS NULL THEN
            DELETE FROM {schema}.message WHERE seq = seqs[i];
            IF leased_row.grp IS NOT NULL THEN
                PERFORM {schema}.promote_1(leased_row.lane, leased_row.grp);
            END IF;
            CONTINUE;
        END IF;
        due_at := moment + delays[i];
        IF leased_row.dedup IS NOT NULL THEN
            FOR newcomer IN DELETE FROM {schema}.message
                WHERE lane = leased_row.lane AND dedup = leased_row.dedup AND NOT leased RETURNING grp, due
            LOOP
                due_at := least(due_at, newcomer.due);
                IF newcomer.grp IS NOT NULL THEN
                    PERFORM pg_advisory_xact_lock({schema}.group_lock_1(leased_row.lane, newcomer.grp));
                    PERFORM {schema}.promote_1(leased_row.lane, newcomer.grp);
                END IF;
            END LOOP;
        END IF;
        UPDATE {schema}.message SET due = due_at, token = NULL, leased = false WHERE seq = seqs[i];
    END LOOP;
    IF cardinality(seqs) > 0 THEN
        PERFORM pg_notify('{schema}', '');
    END IF;
END
$$;

-- Outcomes: 0 a check failed or a lease was lost; 1 committed; 2 the value `seen` of the counter at position `at`
-- cannot be added to.
CREATE FUNCTION {schema}.commit_1(
    locks bigint[], shared boolean[],
    check_keys bytea[], check_versions bytea[],
    put_keys bytea[], put_values bytea[], put_ttls float8[],
    delete_keys bytea[], counter_keys bytea[], counter_deltas bigint[],
    commit_token bytea,
    ids bytea[], lanes bytea[], groups bytea[], dedups bytea[], delays float8[], bodies bytea[],
    lease_seqs bigint[], lease_tokens bytea[], lease_delays float8[],
    reclaim_limit int, test_now float8
) RETURNS TABLE (outcome int, at int, seen bytea)
LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    moment float8;
    count_seen int;
BEGIN
    PERFORM {schema}.lock_1(locks, shared);
    moment := {schema}.moment_1(test_now);
    outcome := 0;
    IF cardinality(check_keys) > 0 THEN
        PERFORM 1 FROM unnest(check_keys, check_versions) AS c(k, version)
            LEFT JOIN {schema}.entry e ON e.k = c.k AND (e.expires IS NULL OR e.expires > moment)
            WHERE e.version IS DISTINCT FROM c.version;
        IF FOUND THEN
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;
    IF cardinality(lease_seqs) > 0 THEN
        SELECT count(*) INTO count_seen FROM (
            SELECT 1 FROM {schema}.message m JOIN unnest(lease_seqs, lease_tokens) AS l(seq, token)
                ON m.seq = l.seq AND m.token = l.token ORDER BY m.seq FOR UPDATE OF m) AS current;
        IF count_seen < cardinality(lease_seqs) THEN
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;
    FOR i IN 1 .. cardinality(counter_keys) LOOP
        SELECT value INTO seen FROM {schema}.entry
            WHERE k = counter_keys[i] AND (expires IS NULL OR expires > moment);
        IF FOUND AND NOT (
            CASE
                WHEN encode(seen, 'escape') !~ '^-?[0-9]{1,19}$' THEN false
                ELSE encode(seen, 'escape')::numeric + counter_deltas[i]
                    BETWEEN -9223372036854775808 AND 9223372036854775807
            END
        ) THEN
            outcome := 2;
            at := i;
            RETURN NEXT;
            RETURN;
        END IF;
    END LOOP;
    IF cardinality(put_keys) > 0 THEN
        INSERT INTO {schema}.entry (k, version, expires, value)
            SELECT p.k, commit_token, moment + p.ttl, p.value
                FROM unnest(put_keys, put_values, put_ttls) AS p(k, value, ttl)
            ON CONFLICT (k) DO UPDATE
            SET version = excluded.version, expires = excluded.expires, value = excluded.value;
    END IF;
    IF cardinality(delete_keys) > 0 THEN
        DELETE FROM {schema}.entry WHERE k = ANY (delete_keys);
    END IF;
    IF cardinality(lease_seqs) > 0 THEN
        PERFORM {schema}.end_leases_1(lease_seqs, lease_tokens, lease_delays, moment);
    END IF;
    IF cardinality(ids) > 0 THEN
        PERFORM {schema}.add_messages_1(ids, lanes, groups, dedups, delays, bodies, moment);
    END IF;
    FOR i IN 1 .. cardinality(counter_keys) LOOP
        INSERT INTO {schema}.entry AS e (k, version, value)
            VALUES (counter_keys[i], commit_token, convert_to(counter_deltas[i]::text, 'UTF8'))
            ON CONFLICT (k) DO UPDATE SET version = excluded.version, expires = NULL, value = CASE
                WHEN e.expires <= moment THEN excluded.value
                ELSE convert_to((encode(e.value, 'escape')::numeric + counter_deltas[i])::text, 'UTF8')
            END;
    END LOOP;
    IF reclaim_limit > 0 THEN
        DELETE FROM {schema}.entry WHERE k IN (
            SELECT k FROM {schema}.entry WHERE expires <= moment LIMIT reclaim_limit FOR UPDATE SKIP LOCKED);
    END IF;
    outcome := 1;
    seen := NULL;
    RETURN NEXT;
END
$$;

CREATE FUNCTION {schema}.enqueue_1(
    locks bigint[], ids bytea[], lanes bytea[], groups bytea[], dedups bytea[], delays float8[], bodies bytea[],
    test_now float8
) RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM {schema}.lock_1(locks, NULL);
    PERFORM {schema}.add_messages_1(ids, lanes, groups, dedups, delays, bodies, {schema}.moment_1(test_now));
END
$$;

CREATE FUNCTION {schema}.settle_1(
    locks bigint[], seqs bigint[], tokens bytea[], delays float8[], test_now float8
) RETURNS SETOF bytea LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM {schema}.lock_1(locks, NULL);
    RETURN QUERY SELECT {schema}.end_leases_1(seqs, tokens, delays, {schema}.moment_1(test_now));
END
$$;

CREATE FUNCTION {schema}.extend_1(seqs bigint[], tokens bytea[], lease_s float8, test_now float8)
RETURNS SETOF bytea LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    FOR i IN 1 .. cardinality(seqs) LOOP
        UPDATE {schema}.message SET due = {schema}.moment_1(test_now) + lease_s
            WHERE seq = seqs[i] AND token = tokens[i];
        IF NOT FOUND THEN
            RETURN NEXT tokens[i];
        END IF;
    END LOOP;
END
$$;

-- A token is six bytes of the row's number, then the ten random bytes of this call.
CREATE FUNCTION {schema}.lease_1(lanes bytea[], lease_limit int, lease_s float8, random_part bytea, test_now float8)
RETURNS TABLE (
    lane_number int, was_due float8, seq bigint, id bytea, grp bytea, dedup bytea, delay_s float8, body bytea,
    token bytea, attempt int
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    moment float8 := {schema}.moment_1(test_now);
    count_here int;
BEGIN
    FOR i IN 1 .. cardinality(lanes) LOOP
        RETURN QUERY
            WITH picked AS MATERIALIZED (
                SELECT c.seq, c.due FROM {schema}.message c WHERE c.head AND c.lane = lanes[i] AND c.due <= moment
                    ORDER BY c.due LIMIT lease_limit FOR UPDATE SKIP LOCKED)
            UPDATE {schema}.message m SET due = moment + lease_s, leased = true, attempt = m.attempt + 1,
                    token = substr(int8send(m.seq), 3) || random_part
                FROM picked WHERE m.seq = picked.seq
                RETURNING i, picked.due, m.seq, m.id, m.grp, m.dedup, m.delay_s, m.body, m.token, m.attempt;
        GET DIAGNOSTICS count_here = ROW_COUNT;
        lease_limit := lease_limit - count_here;
        EXIT WHEN lease_limit <= 0;
    END LOOP;
END
$$;

-- Count ready, delayed and leased messages, and the seconds since the first of them became due.
CREATE FUNCTION {schema}.depth_1(lanes bytea[], test_now float8)
RETURNS TABLE (ready bigint, delayed bigint, leased bigint, oldest_s float8) LANGUAGE plpgsql AS $$
DECLARE
    moment float8 := {schema}.moment_1(test_now);
BEGIN
    RETURN QUERY SELECT count(*) FILTER (WHERE m.due <= moment),
        count(*) FILTER (WHERE m.due > moment AND NOT m.leased),
        count(*) FILTER (WHERE m.due > moment AND m.leased),
        moment - min(m.due) FILTER (WHERE m.due <= moment)
        FROM {schema}.message m WHERE m.lane = ANY (lanes);
END
$$;

-- Return the seconds until a message of the lanes can be leased; NULL if there is none.
CREATE FUNCTION {schema}.next_due_1(lanes bytea[], test_now float8)
RETURNS float8 LANGUAGE sql VOLATILE SET enable_seqscan = off AS $$
    SELECT min(head.due) - {schema}.moment_1(test_now) FROM unnest(lanes) AS l(lane),
        LATERAL (SELECT m.due FROM {schema}.message m WHERE m.head AND m.lane = l.lane ORDER BY m.due LIMIT 1) AS head
$$;

CREATE FUNCTION {schema}.get_1(keys bytea[], test_now float8)
RETURNS TABLE (k bytea, value bytea, version bytea) LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    moment float8 := {schema}.moment_1(test_now);
BEGIN
    RETURN QUERY SELECT e.k, e.value, e.version FROM {schema}.entry e
        WHERE e.k = ANY (keys) AND (e.expires IS NULL OR e.expires > moment);
END
$$;

CREATE FUNCTION {schema}.scan_1(low bytea, high bytea, page_limit int, backwards boolean, test_now float8)
RETURNS TABLE (k bytea, value bytea, version bytea) LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    moment float8 := {schema}.moment_1(test_now);
BEGIN
    IF backwards THEN
        RETURN QUERY SELECT e.k, e.value, e.version FROM {schema}.entry e
            WHERE e.k > low AND e.k < high AND (e.expires IS NULL OR e.expires > moment)
            ORDER BY e.k DESC LIMIT page_limit;
    ELSE
        RETURN QUERY SELECT e.k, e.value, e.version FROM {schema}.entry e
            WHERE e.k > low AND e.k < high AND (e.expires IS NULL OR e.expires > moment)
            ORDER BY e.k LIMIT page_limit;
    END IF;
END
$$;
