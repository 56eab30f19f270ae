-- name: add_event
-- Remember an event; a second one with the same id changes nothing.
INSERT INTO events (id, at, kind, experiment, json)
VALUES (:id, :at, :kind, :experiment, :json)
ON CONFLICT (id) DO NOTHING;

-- name: add_event_at
-- Remember an event that the journal holds, under its own number.
INSERT INTO events (seq, id, at, kind, experiment, json, journaled)
VALUES (:seq, :id, :at, :kind, :experiment, :json, 1)
ON CONFLICT (id) DO NOTHING;

-- name: not_journaled
-- Events that the journal does not hold yet, in the order in which they were applied.
SELECT seq, id, json FROM events WHERE journaled = 0 ORDER BY seq LIMIT :most;

-- name: mark_journaled
-- The journal holds every event up to this number.
UPDATE events SET journaled = 1 WHERE journaled = 0 AND seq <= :last;

-- name: event_at
-- The id of the event with this number.
SELECT id FROM events WHERE seq = :seq;

-- name: event_seq
-- The number of the event with this id; none while it was not applied.
SELECT seq FROM events WHERE id = :id;

-- name: last_event
-- The highest number given so far.
SELECT coalesce(max(seq), 0) FROM events;

-- name: accept_signal
-- This content of a signal is valid. A quarantined one may become accepted, never the reverse.
INSERT INTO signals (experiment, path, sha256, status, seen_at, content)
VALUES (:experiment, :path, :sha256, 'accepted', :at, :content)
ON CONFLICT (path, sha256) DO UPDATE SET status = 'accepted', reason = NULL, content = excluded.content;

-- name: quarantine_signal
-- This content of a signal cannot be used.
INSERT INTO signals (experiment, path, sha256, status, reason, kept_as, seen_at)
VALUES (:experiment, :path, :sha256, 'quarantined', :reason, :kept_as, :at)
ON CONFLICT (path, sha256) DO NOTHING;

-- name: release_signal
-- A quarantined content is looked at again as if it had never been seen.
DELETE FROM signals WHERE path = :path AND sha256 = :sha256 AND status = 'quarantined';

-- name: signal_status
-- What became of this content of a signal.
SELECT status FROM signals WHERE path = :path AND sha256 = :sha256;

-- name: latest_signals
-- The content of each signal file that was accepted last.
SELECT experiment, path, sha256, content, seen_at FROM signals
WHERE id IN (SELECT max(id) FROM signals WHERE status = 'accepted' GROUP BY path);

-- name: accepted_signals_of
-- Of some experiments, a JSON list, the content that was accepted last of the signal file with this name.
SELECT experiment, sha256 FROM signals WHERE id IN (
    SELECT max(id) FROM signals WHERE status = 'accepted' AND path LIKE '%/' || :file_name
        AND experiment IN (SELECT value FROM json_each(:experiments)) GROUP BY path);

-- name: quarantined_signals
-- Signals that were put aside and not followed by anything newer from the same place.
SELECT experiment, path, reason, kept_as, seen_at FROM signals
WHERE status = 'quarantined' AND id IN (SELECT max(id) FROM signals GROUP BY path) ORDER BY id;

-- name: signals_of
-- Every content of every signal that an experiment has shown, in order.
SELECT * FROM signals WHERE experiment = :experiment ORDER BY id;
