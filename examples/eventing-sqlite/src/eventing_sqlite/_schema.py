"""The database's tables."""

#: Run at each opening. FULL: a commit that has returned is on the disk.
SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
BEGIN IMMEDIATE;
-- `topic`: whose messages come to it; NULL for dead letters.
CREATE TABLE IF NOT EXISTS queue (id INTEGER PRIMARY KEY, name TEXT UNIQUE, topic TEXT);
-- Subscriptions, in the order of their coming; no id comes twice. After `until` the process counts as dead.
CREATE TABLE IF NOT EXISTS consumer (id INTEGER PRIMARY KEY AUTOINCREMENT, queue INTEGER, until REAL);
CREATE TRIGGER IF NOT EXISTS consumer_died AFTER DELETE ON consumer BEGIN
    UPDATE message SET consumer = NULL, count = count + 1 WHERE consumer = OLD.id; END;
-- `due`: 0, or when a delayed message may be given out. `count`: how often it came back. `consumer`: who has it.
CREATE TABLE IF NOT EXISTS message (position INTEGER PRIMARY KEY,
    queue INTEGER, due REAL, count INTEGER DEFAULT 0, consumer INTEGER, properties TEXT, body BLOB);
CREATE INDEX IF NOT EXISTS message_due ON message (queue, due, position) WHERE consumer IS NULL;
CREATE INDEX IF NOT EXISTS message_out ON message (consumer) WHERE consumer IS NOT NULL;
-- What was sent lately, so that a second send of it is known.
CREATE TABLE IF NOT EXISTS sent (id INTEGER PRIMARY KEY, key TEXT UNIQUE);
CREATE TRIGGER IF NOT EXISTS sent_long_ago AFTER INSERT ON sent BEGIN DELETE FROM sent WHERE id < NEW.id - 100000; END;
COMMIT;
-- So long a transaction waits for those of others; in between, the thread looks at deadlines.
PRAGMA busy_timeout = 500;
"""
