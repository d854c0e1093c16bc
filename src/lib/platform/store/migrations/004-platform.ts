/** Users and tokens with roles, tags and groups, the log of events with who reads it, jobs. */
export const platform = `
  CREATE TABLE users (
    name TEXT PRIMARY KEY, role TEXT NOT NULL, created INTEGER NOT NULL, disabled INTEGER
  ) STRICT;
  CREATE TABLE tokensNew (
    id TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, name TEXT NOT NULL, owner TEXT, role TEXT NOT NULL, scopes TEXT,
    created INTEGER NOT NULL, expires INTEGER NOT NULL, lastUsed INTEGER, revoked INTEGER
  ) STRICT;
  INSERT INTO tokensNew (id, digest, name, role, created, expires)
    SELECT 'tok_' || substr(digest, 1, 12), digest, 'operator', role, created, expires FROM tokens;
  DROP TABLE tokens;
  ALTER TABLE tokensNew RENAME TO tokens;
  CREATE TABLE answers (
    who TEXT NOT NULL, key TEXT NOT NULL, request TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL,
    created INTEGER NOT NULL, PRIMARY KEY (who, key)
  ) STRICT;

  ALTER TABLE devices ADD COLUMN tags TEXT NOT NULL DEFAULT '{}';
  ALTER TABLE devices ADD COLUMN groups TEXT NOT NULL DEFAULT '[]';
  ALTER TABLE devices ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
  ALTER TABLE devices ADD COLUMN secret TEXT;

  -- Models that came in by a door without signatures.
  ALTER TABLE models ADD COLUMN origin TEXT;

  -- Which of the rollouts' rows somebody else has changed since.
  ALTER TABLE rollouts ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE rolloutDevices ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;

  CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, type TEXT NOT NULL, subject TEXT NOT NULL, who TEXT NOT NULL,
    data TEXT NOT NULL
  ) STRICT;
  INSERT INTO events (id, at, type, subject, who, data) SELECT id, at, action, subject, who, detail FROM audit;
  DROP TABLE audit;
  CREATE INDEX eventsBySubject ON events (subject, id);
  CREATE INDEX eventsByType ON events (type, id);
  CREATE TABLE cursors (name TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT;
  CREATE TABLE webhooks (
    id TEXT PRIMARY KEY, url TEXT NOT NULL, types TEXT NOT NULL, secret TEXT NOT NULL, created INTEGER NOT NULL,
    enabled INTEGER NOT NULL, failures INTEGER NOT NULL, retryAt INTEGER, error TEXT, failingSince INTEGER,
    updated INTEGER NOT NULL, allowPrivate INTEGER NOT NULL, secretBefore TEXT, secretBeforeUntil INTEGER
  ) STRICT;
  CREATE TABLE jobs (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL, who TEXT NOT NULL, created INTEGER NOT NULL,
    started INTEGER, ended INTEGER, updated INTEGER NOT NULL, step TEXT, done INTEGER NOT NULL, total INTEGER,
    request TEXT NOT NULL, result TEXT, error TEXT, leaseUntil INTEGER, cancelled INTEGER
  ) STRICT;
  CREATE INDEX jobsByState ON jobs (state, created);

  -- Of --compat architects-guide: files by folder and name, rows that wait for their file to be full, and where Kafka's
  -- topics were read up to.
  CREATE TABLE guideFiles (
    folder TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, bytes INTEGER NOT NULL, type TEXT NOT NULL,
    modified INTEGER NOT NULL, model TEXT, version INTEGER, announced INTEGER NOT NULL, PRIMARY KEY (folder, name)
  ) STRICT;
  CREATE TABLE guideRows (id INTEGER PRIMARY KEY AUTOINCREMENT, line TEXT NOT NULL) STRICT;
  CREATE TABLE guidePositions (topic TEXT PRIMARY KEY, since INTEGER NOT NULL, next INTEGER) STRICT;

  -- Blobs that somebody has put and nothing refers to yet: until then they are no orphans.
  CREATE TABLE blobLeases (digest TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT;

  -- Every word on what was recorded, whole recordings (without times) and parts of them; a label of NULL takes one back.
  -- "labels" has the last word on each whole recording.
  CREATE TABLE labelEvents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, who TEXT NOT NULL, stream TEXT NOT NULL, device TEXT NOT NULL,
    recording TEXT NOT NULL, label TEXT, fromT REAL, toT REAL
  ) STRICT;
  CREATE INDEX labelEventsByRecording ON labelEvents (stream, device, recording, id);
  INSERT INTO labelEvents (at, who, stream, device, recording, label)
    SELECT given, 'operator', stream, device, recording, label FROM labels;
  -- How long telemetry is kept.
  CREATE TABLE retention (stream TEXT PRIMARY KEY, days REAL, bytes INTEGER, labelled INTEGER NOT NULL) STRICT;
`;
