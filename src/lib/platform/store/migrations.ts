/** Users and tokens with roles, tags and groups, the event log with its readers, and jobs. */
const platform = `
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

/**
 * Issued certificates, so that invalid certificates can be listed for an external broker, which has no access to the
 * registry.
 */
const certificates = `
  -- Of devices, by the serial number (hex) that a revocation list names them by.
  CREATE TABLE certificates (
    serial TEXT PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE, device TEXT NOT NULL, expires INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX certificatesByEnd ON certificates (expires);
`;

/** Rollouts can contain firmware. */
const rolloutKind = `
  ALTER TABLE rollouts ADD COLUMN kind TEXT NOT NULL DEFAULT 'model';
`;

/**
 * The registry of device configurations, and firmware and configuration manifests that were replaced by a newer
 * manifest for the same version. Rollouts that began with a replaced manifest continue with it.
 */
const configs = `
  CREATE TABLE configs (
    name TEXT NOT NULL, version INTEGER NOT NULL, sequence INTEGER NOT NULL UNIQUE, digest TEXT NOT NULL,
    bytes INTEGER NOT NULL, pushed INTEGER NOT NULL, info TEXT NOT NULL, envelope TEXT NOT NULL,
    PRIMARY KEY (name, version)
  ) STRICT;
  CREATE TABLE releaseManifests (
    kind TEXT NOT NULL, sequence INTEGER NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, envelope TEXT NOT NULL,
    PRIMARY KEY (kind, sequence)
  ) STRICT;
`;

/**
 * Rollouts in waves. `head` is the rollout without its devices. `data` is a device's data other than its state (JSON, with the names of
 * fleet/rollout). Rows of the earlier tables are converted to the same form.
 */
const rolloutWaves = `
  CREATE TABLE rolloutsNew (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, created INTEGER NOT NULL, ended INTEGER, revision INTEGER NOT NULL,
    head TEXT NOT NULL
  ) STRICT;
  INSERT INTO rolloutsNew (id, state, created, ended, revision, head)
    SELECT id, state, created, ended, revision,
      '{"releases":[{"kind":"' || kind || '","name":"' || name || '","version":' || version || ',"sequence":' || sequence
      || '}],"deadlineMs":' || (deadline - created) || ',"selector":"' || REPLACE(selector, '"', '\\"') || '"}'
    FROM rollouts;
  -- What a rollout is of: place −1 is what its devices may go back to.
  CREATE TABLE rolloutReleases (
    rollout TEXT NOT NULL REFERENCES rolloutsNew (id), place INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    version INTEGER NOT NULL, PRIMARY KEY (rollout, place)
  ) STRICT;
  CREATE INDEX rolloutsByRelease ON rolloutReleases (kind, name, version);
  INSERT INTO rolloutReleases (rollout, place, kind, name, version) SELECT id, 0, kind, name, version FROM rollouts;
  CREATE TABLE rolloutDevicesNew (
    rollout TEXT NOT NULL REFERENCES rolloutsNew (id), device TEXT NOT NULL, wave INTEGER NOT NULL, place INTEGER NOT NULL,
    state TEXT NOT NULL, updated INTEGER NOT NULL, revision INTEGER NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (rollout, device)
  ) STRICT;
  INSERT INTO rolloutDevicesNew (rollout, device, wave, place, state, updated, revision, data)
    SELECT rollout, device, 0, 0, state, updated, revision,
      '{"step":' || CASE WHEN step IS NULL THEN 'null' ELSE '"' || step || '"' END
      || ',"error":' || CASE WHEN error IS NULL THEN 'null' ELSE error END || '}'
    FROM rolloutDevices;
  DROP TABLE rolloutDevices;
  DROP TABLE rollouts;
  ALTER TABLE rolloutsNew RENAME TO rollouts;
  ALTER TABLE rolloutDevicesNew RENAME TO rolloutDevices;
  CREATE INDEX rolloutsByState ON rollouts (state, id);
  CREATE INDEX rolloutDevicesByDevice ON rolloutDevices (device, rollout);
`;

/**
 * Clients of the Direct Device Integration API. `device` is a device's id, so that a re-created device starts without
 * history. An action is a desired release under the number that identifies it to the client; `data` is JSON with the
 * fields of ddi/action.ts. `wants`: 1 = the client's attributes are requested.
 */
const ddi = `
  CREATE TABLE ddiActions (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL, wish TEXT NOT NULL, state TEXT NOT NULL, created INTEGER NOT NULL,
    ended INTEGER, data TEXT NOT NULL, UNIQUE (device, wish)
  ) STRICT;
  CREATE TABLE ddiDevices (device TEXT PRIMARY KEY, wants INTEGER NOT NULL) STRICT;
`;

/** Patches between blobs, by their digests. If `digest` is null, the patch would save less than half, and is not made again. */
const deltas = `
  CREATE TABLE deltas (
    base TEXT NOT NULL, target TEXT NOT NULL, digest TEXT, bytes INTEGER NOT NULL, made INTEGER NOT NULL,
    PRIMARY KEY (base, target)
  ) STRICT;
`;

/**
 * An index for finding failed and missed devices among a hundred thousand; `aiot rollout show` queries devices by
 * state.
 */
const rolloutStates = `
  CREATE INDEX rolloutDevicesByState ON rolloutDevices (rollout, state, device);
`;

/**
 * Dashboard access opened with a token: single-use links, and the sessions that the links begin. Both end with the
 * token.
 */
const logins = `
  CREATE TABLE logins (
    digest TEXT PRIMARY KEY, kind TEXT NOT NULL, token TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL
  ) STRICT;
`;

/** For the list of sessions: how (`link`, `token`, `provider`), from where and with which client a user logged in. */
const loginSessions = `
  ALTER TABLE logins ADD COLUMN method TEXT;
  ALTER TABLE logins ADD COLUMN address TEXT;
  ALTER TABLE logins ADD COLUMN agent TEXT;
  ALTER TABLE logins ADD COLUMN lastUsed INTEGER;
  ALTER TABLE oidcTokens ADD COLUMN address TEXT;
  ALTER TABLE oidcTokens ADD COLUMN agent TEXT;
`;

/**
 * Log lines of earlier platforms are kept forever, as before: only new platforms have the usual limit. The telemetry, which has the lines, is
 * another database, so a platform with devices or events counts as one with lines. The policy of log lines has no stream.
 */
const logRetention = `
  INSERT INTO retention (stream, labelled) SELECT '', 0
    WHERE (EXISTS (SELECT 1 FROM devices) OR EXISTS (SELECT 1 FROM events))
    AND NOT EXISTS (SELECT 1 FROM retention WHERE stream = '');
`;

/** Runs of projects' pipelines, as reported by their runners. `summary` and `data` are JSON: the summary for lists, and the whole run. */
const pipelineRuns = `
  CREATE TABLE pipelineRuns (
    project TEXT NOT NULL, run TEXT NOT NULL, state TEXT NOT NULL, told INTEGER NOT NULL, summary TEXT NOT NULL,
    data TEXT NOT NULL, PRIMARY KEY (project, run)
  ) STRICT;
`;

/** Connected pipeline runners, and the runs that users requested from them. */
const pipelineRequests = `
  CREATE TABLE pipelineRunners (
    id TEXT PRIMARY KEY, project TEXT NOT NULL, name TEXT NOT NULL, who TEXT NOT NULL, created INTEGER NOT NULL,
    seen INTEGER NOT NULL, leaseUntil INTEGER NOT NULL, data TEXT NOT NULL
  ) STRICT;
  CREATE TABLE pipelineRequests (
    id TEXT PRIMARY KEY, project TEXT NOT NULL, state TEXT NOT NULL, who TEXT NOT NULL, created INTEGER NOT NULL, wanted TEXT,
    until TEXT, force INTEGER NOT NULL, runner TEXT, runnerName TEXT, claimed INTEGER, claimedBy TEXT, leaseUntil INTEGER,
    ended INTEGER, run TEXT, cancelledBy TEXT, error TEXT, lines INTEGER NOT NULL, log TEXT NOT NULL
  ) STRICT;
  CREATE INDEX pipelineRequestsByProject ON pipelineRequests (project, id);
  CREATE INDEX pipelineRequestsByState ON pipelineRequests (state, project);
  CREATE INDEX pipelineRequestsByRunner ON pipelineRequests (runner, state);
`;

/** Training runs that users published. `data` is JSON. */
const trainingRuns = `
  CREATE TABLE trainingRuns (model TEXT NOT NULL, run TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (model, run)) STRICT;
`;

/**
 * Unrepaired damage to stored data; acknowledged damage causes no more warnings. Also the ledger, which records the
 * content of each journal file and of the broker's log, so that a missing or shorter file is noticed. `counts`: JSON,
 * by log.
 */
const damage = `
  CREATE TABLE damages (
    id TEXT PRIMARY KEY, part TEXT NOT NULL, place TEXT NOT NULL, problem TEXT NOT NULL, lost TEXT, repairable INTEGER NOT NULL,
    found INTEGER NOT NULL, acknowledged INTEGER, who TEXT
  ) STRICT;
  CREATE TABLE logFiles (
    log TEXT NOT NULL, number INTEGER NOT NULL, generation INTEGER NOT NULL, bytes INTEGER NOT NULL, crc INTEGER NOT NULL,
    digest TEXT, counts TEXT NOT NULL, PRIMARY KEY (log, number, generation)
  ) STRICT;
`;

/** Health of devices that are or were unwell. `causes`: since when each cause has been observed. */
const health = `
  CREATE TABLE deviceHealth (
    device TEXT PRIMARY KEY, causes TEXT NOT NULL DEFAULT '{}', rejected TEXT, acknowledged TEXT, snoozed TEXT
  ) STRICT;
`;

/** How the telemetry of devices compares with the training data of their model. */
const signalDrift = `
  CREATE TABLE deviceDrift (
    device TEXT PRIMARY KEY, model TEXT NOT NULL, version INTEGER NOT NULL, stream TEXT NOT NULL, state TEXT NOT NULL, drift TEXT
  ) STRICT;
  CREATE TABLE driftWindows (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL, begun INTEGER NOT NULL, ended INTEGER NOT NULL, psi TEXT NOT NULL,
    drifted TEXT NOT NULL
  ) STRICT;
  CREATE INDEX driftWindowsByDevice ON driftWindows (device, id);
`;

/**
 * The replica that the agent for remote access of each device is connected to, its address for other replicas, and the connection's id.
 * Open remote sessions, whose end is recorded by another replica if theirs dies.
 */
const remoteAgents = `
  CREATE TABLE remoteAgents (
    device TEXT PRIMARY KEY, replica TEXT NOT NULL, url TEXT NOT NULL, agent TEXT NOT NULL, connected INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX remoteAgentsByReplica ON remoteAgents (replica);
  CREATE TABLE remoteSessions (session TEXT PRIMARY KEY, replica TEXT NOT NULL, record TEXT NOT NULL) STRICT;
`;

/** The address of each replica for other replicas. */
const replicaUrls = `
  ALTER TABLE replicas ADD COLUMN url TEXT;
`;

/** Changes with each change of an alarm, so that it is noticed even if the definition is the earlier one again. */
const alarmRevisions = `
  ALTER TABLE alarms ADD COLUMN revision TEXT;
`;

/** Alarms, their state on each device, and their incidents. */
const alarms = `
  CREATE TABLE alarms (
    name TEXT PRIMARY KEY, definition TEXT NOT NULL, created INTEGER NOT NULL, who TEXT NOT NULL, silencedUntil INTEGER
  ) STRICT;
  CREATE TABLE alarmStates (
    alarm TEXT NOT NULL, device TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (alarm, device)
  ) STRICT;
  CREATE TABLE incidents (
    id TEXT PRIMARY KEY, alarm TEXT NOT NULL, device TEXT NOT NULL, since INTEGER NOT NULL, raised INTEGER NOT NULL,
    cleared INTEGER, notified INTEGER NOT NULL, message TEXT NOT NULL, samples TEXT NOT NULL, acknowledged TEXT
  ) STRICT;
  CREATE INDEX incidentsByAlarm ON incidents (alarm, raised);
  CREATE INDEX incidentsByEnd ON incidents (cleared, notified);
`;

/** A replica's report in `aiot status`, as JSON. */
const replicaFacts = 'ALTER TABLE replicas ADD COLUMN facts TEXT;';

/** Which devices are connected to which replica, and when each replica was last seen. */
const presences = `
  CREATE TABLE replicas (replica TEXT PRIMARY KEY, seen INTEGER NOT NULL) STRICT;
  CREATE TABLE presences (
    device TEXT NOT NULL, replica TEXT NOT NULL, PRIMARY KEY (device, replica)
  ) STRICT;
  CREATE INDEX presencesByReplica ON presences (replica);
`;

/** The sealed log of changes and denied attempts. `data`: JSON; `hash` covers the entry and, through `previous`, all before it. */
const auditLog = `
  CREATE TABLE auditLog (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, type TEXT NOT NULL, subject TEXT NOT NULL, who TEXT NOT NULL, data TEXT NOT NULL,
    previous TEXT NOT NULL, hash TEXT NOT NULL
  ) STRICT;
`;

/** Samples that an alarm's expressions could not be evaluated on. */
const alarmFailures = `
  CREATE TABLE alarmFailures (
    alarm TEXT PRIMARY KEY, count INTEGER NOT NULL, since INTEGER NOT NULL, at INTEGER NOT NULL, device TEXT NOT NULL,
    error TEXT NOT NULL
  ) STRICT;
`;

/** Targets of alarm notifications, and the incidents that are yet to be sent to each target. */
const alarmTargets = `
  CREATE TABLE alarmTargets (
    name TEXT PRIMARY KEY, definition TEXT NOT NULL, created INTEGER NOT NULL, who TEXT NOT NULL, delivered INTEGER,
    failures INTEGER NOT NULL, error TEXT, retryAt INTEGER
  ) STRICT;
  CREATE TABLE alarmNotices (
    target TEXT NOT NULL, incident TEXT NOT NULL, event TEXT NOT NULL, alarm TEXT NOT NULL, device TEXT NOT NULL,
    due INTEGER NOT NULL, batch TEXT, sent INTEGER, data TEXT NOT NULL, PRIMARY KEY (target, incident, event)
  ) STRICT;
  CREATE INDEX alarmNoticesByDue ON alarmNotices (target, sent, due);
`;

/** Crash reports, their groups by signature, and their counts. */
const crashes = `
  CREATE TABLE crashes (
    id TEXT PRIMARY KEY, device TEXT NOT NULL, key TEXT NOT NULL, at INTEGER NOT NULL, signature TEXT NOT NULL, version TEXT, build TEXT,
    report TEXT NOT NULL, UNIQUE (device, key)
  ) STRICT;
  CREATE INDEX crashesBySignature ON crashes (signature, id);
  CREATE TABLE crashGroups (
    signature TEXT PRIMARY KEY, kind TEXT NOT NULL, reason TEXT NOT NULL, place TEXT
  ) STRICT;
  CREATE TABLE crashCounts (
    signature TEXT NOT NULL, device TEXT NOT NULL, firmware TEXT NOT NULL, version TEXT NOT NULL, count INTEGER NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (signature, device, firmware, version)
  ) STRICT;
  CREATE INDEX crashCountsByLast ON crashCounts (last);
  CREATE TABLE crashHours (
    device TEXT NOT NULL, hour INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (device, hour)
  ) STRICT;
`;

/** ELF files by build, and the reports whose backtraces contain function names from these files. */
const crashSymbols = `
  CREATE TABLE crashSymbols (build TEXT PRIMARY KEY, digest TEXT NOT NULL, added INTEGER NOT NULL) STRICT;
  CREATE TABLE crashMoves (signature TEXT PRIMARY KEY, target TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
  ALTER TABLE crashes ADD COLUMN frames TEXT;
  CREATE INDEX crashesByBuild ON crashes (build, frames);
`;

/** Commands that projects define for types of devices, and calls of commands. */
const commands = `
  CREATE TABLE commands (
    type TEXT NOT NULL, name TEXT NOT NULL, project TEXT NOT NULL, definition TEXT NOT NULL, created INTEGER NOT NULL, who TEXT NOT NULL,
    PRIMARY KEY (type, name)
  ) STRICT;
  CREATE TABLE calls (
    id TEXT PRIMARY KEY, device TEXT NOT NULL, command TEXT NOT NULL, request TEXT NOT NULL, who TEXT NOT NULL, created INTEGER NOT NULL,
    deadline INTEGER NOT NULL, sent INTEGER, outcome TEXT
  ) STRICT;
  CREATE INDEX callsByDeadline ON calls (deadline);
`;

/** Indexes for open and for old calls, so that queries do not read all calls that ended within the last day. */
const callIndexes = `
  DROP INDEX callsByDeadline;
  CREATE INDEX callsOpen ON calls (deadline) WHERE outcome IS NULL;
  CREATE INDEX callsByCreated ON calls (created);
`;

/** Settings that projects define for types of devices, overrides for groups, and the settings of each device. */
const deviceSettings = `
  CREATE TABLE settings (
    type TEXT PRIMARY KEY, project TEXT NOT NULL, definition TEXT NOT NULL, created INTEGER NOT NULL, who TEXT NOT NULL
  ) STRICT;
  CREATE TABLE groupSettings (
    type TEXT NOT NULL, groupName TEXT NOT NULL, priority INTEGER NOT NULL, overrides TEXT NOT NULL, who TEXT NOT NULL,
    PRIMARY KEY (type, groupName)
  ) STRICT;
  ALTER TABLE devices ADD COLUMN settings TEXT;
`;

/** Leases on the roles of background tasks, and the replicas that take on roles. */
const roleLeases = `
  CREATE TABLE leaseHolders (holder TEXT PRIMARY KEY, beat INTEGER NOT NULL, wanted TEXT NOT NULL) STRICT;
  CREATE TABLE roleLeases (role TEXT PRIMARY KEY, holder TEXT, epoch INTEGER NOT NULL) STRICT;
`;

/** Selectors that limit the rights of users and tokens. */
const deviceRights = `
  ALTER TABLE users ADD COLUMN selector TEXT;
  ALTER TABLE tokens ADD COLUMN selectors TEXT;
`;

/**
 * Logins with the accounts of a login provider: the users of its accounts, logins that are not complete yet (`data`: sealed), and the tokens
 * of logins. `sealed`: the provider's refresh token; empty = none. `checked`: when the provider last confirmed the login.
 */
const oidc = `
  CREATE TABLE oidcUsers (
    name TEXT PRIMARY KEY, issuer TEXT NOT NULL, subject TEXT NOT NULL, UNIQUE (issuer, subject)
  ) STRICT;
  CREATE TABLE oidcFlows (digest TEXT PRIMARY KEY, data TEXT NOT NULL, expires INTEGER NOT NULL) STRICT;
  CREATE TABLE oidcTokens (
    token TEXT PRIMARY KEY, sealed TEXT NOT NULL, checked INTEGER NOT NULL, ends INTEGER NOT NULL
  ) STRICT;
`;

/** Replicas read the devices of a rollout that have changed since a revision, several times a second. */
const rolloutRevisions = `
  CREATE INDEX rolloutDevicesByRevision ON rolloutDevices (rollout, revision);
`;

/** On PostgreSQL, events that have no id in `events` yet; see store/postgres-schema.ts. */
const newEvents = `
  CREATE TABLE newEvents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, type TEXT NOT NULL, subject TEXT NOT NULL,
    who TEXT NOT NULL, data TEXT NOT NULL
  ) STRICT;
`;

/** Recordings to label next, by stream: the newest ranking that a user published. `data`: JSON, see api/contract/data.ts. */
const suggestions = `
  CREATE TABLE suggestions (stream TEXT PRIMARY KEY, at INTEGER NOT NULL, who TEXT NOT NULL, data TEXT NOT NULL) STRICT;
`;

/**
 * Batches of devices that share a key in their factory image, and the devices that have connected with such a key. `digest`: SHA-256 of the
 * key. `certificate`: of the device with the id `device`, once issued.
 */
const batches = `
  CREATE TABLE batches (
    name TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, type TEXT NOT NULL, size INTEGER NOT NULL, created INTEGER NOT NULL,
    expires INTEGER NOT NULL, revoked INTEGER, who TEXT NOT NULL, pattern TEXT, tags TEXT NOT NULL, groups TEXT NOT NULL
  ) STRICT;
  CREATE TABLE batchSerials (batch TEXT NOT NULL, serial TEXT NOT NULL, PRIMARY KEY (batch, serial)) STRICT;
  CREATE TABLE enrollments (
    name TEXT PRIMARY KEY, batch TEXT NOT NULL, serial TEXT NOT NULL, mac TEXT, state TEXT NOT NULL, publicKey TEXT NOT NULL,
    address TEXT NOT NULL, created INTEGER NOT NULL, seen INTEGER NOT NULL, device TEXT, certificate TEXT, who TEXT,
    decided INTEGER, note TEXT, problem TEXT, conflicts INTEGER NOT NULL, conflictAt INTEGER, UNIQUE (batch, serial)
  ) STRICT;
  CREATE INDEX enrollmentsByBatch ON enrollments (batch, state);
  CREATE INDEX enrollmentsByKey ON enrollments (publicKey);
  CREATE INDEX enrollmentsByState ON enrollments (state, name);
`;

/**
 * The schema registry. `digest`: SHA-256 of a schema's type, content and references, so the same schema has one id. `deleted`: 1 = only listed
 * on request. `latest`: highest version that the subject ever had. The subject '' has the global level and mode.
 */
const schemaRegistry = `
  CREATE TABLE schemas (
    id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, type TEXT NOT NULL, content TEXT NOT NULL, created INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE schemaReferences (
    schema INTEGER NOT NULL, name TEXT NOT NULL, subject TEXT NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (schema, name)
  ) STRICT;
  CREATE INDEX schemaReferencesByTarget ON schemaReferences (subject, version);
  CREATE TABLE schemaVersions (
    subject TEXT NOT NULL, version INTEGER NOT NULL, schema INTEGER NOT NULL, deleted INTEGER NOT NULL,
    created INTEGER NOT NULL, who TEXT NOT NULL, PRIMARY KEY (subject, version)
  ) STRICT;
  CREATE INDEX schemaVersionsBySchema ON schemaVersions (schema);
  CREATE TABLE schemaSubjects (subject TEXT PRIMARY KEY, latest INTEGER NOT NULL, level TEXT, mode TEXT) STRICT;
`;

/**
 * Presence and predictions of devices over time, see fleet/history.ts. `part`: −1 = all devices together, otherwise devices with numbers from
 * 256 × part. `minutes`: in which the fleet was observed.
 */
const history = `
  CREATE TABLE history (
    kind TEXT NOT NULL, width INTEGER NOT NULL, begun INTEGER NOT NULL, part INTEGER NOT NULL, minutes INTEGER NOT NULL,
    counts TEXT NOT NULL, PRIMARY KEY (kind, width, begun, part)
  ) STRICT;
  CREATE TABLE historyDevices (device TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, day INTEGER NOT NULL) STRICT;
`;

/**
 * Migrations in order; each is applied once, completely. `user_version` counts the applied migrations. Never change a
 * released migration; add another.
 */
export const migrations: string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  CREATE TABLE tokens (
    digest TEXT PRIMARY KEY, role TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE devices (
    name TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, state TEXT NOT NULL,
    fingerprint TEXT NOT NULL UNIQUE, expires INTEGER NOT NULL, created INTEGER NOT NULL,
    lastSeen INTEGER, reported TEXT, desired TEXT
  ) STRICT;
  CREATE TABLE models (
    name TEXT NOT NULL, version INTEGER NOT NULL, sequence INTEGER NOT NULL, digest TEXT NOT NULL,
    bytes INTEGER NOT NULL, pushed INTEGER NOT NULL, info TEXT NOT NULL, PRIMARY KEY (name, version)
  ) STRICT;
  CREATE TABLE manifests (
    sequence INTEGER PRIMARY KEY, name TEXT NOT NULL, version INTEGER NOT NULL, envelope TEXT NOT NULL,
    FOREIGN KEY (name, version) REFERENCES models (name, version) DEFERRABLE INITIALLY DEFERRED
  ) STRICT;
  CREATE TABLE rollouts (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, version INTEGER NOT NULL, sequence INTEGER NOT NULL,
    selector TEXT NOT NULL, state TEXT NOT NULL, created INTEGER NOT NULL, deadline INTEGER NOT NULL,
    ended INTEGER
  ) STRICT;
  CREATE TABLE rolloutDevices (
    rollout TEXT NOT NULL REFERENCES rollouts (id), device TEXT NOT NULL, state TEXT NOT NULL, step TEXT,
    error TEXT, updated INTEGER NOT NULL, PRIMARY KEY (rollout, device)
  ) STRICT;
  CREATE TABLE labels (
    stream TEXT NOT NULL, device TEXT NOT NULL, recording TEXT NOT NULL, label TEXT NOT NULL,
    given INTEGER NOT NULL, PRIMARY KEY (stream, device, recording)
  ) STRICT;
  `,
  `
  ALTER TABLE models ADD COLUMN stage TEXT NOT NULL DEFAULT 'dev';
  ALTER TABLE models ADD COLUMN removed INTEGER;
  -- Bundles of an older form cannot be read any more; their numbers stay taken.
  UPDATE models SET removed = pushed WHERE info NOT LIKE '%"aiot-bundle/2"%';
  CREATE TABLE audit (
    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL,
    detail TEXT NOT NULL
  ) STRICT;
  CREATE INDEX auditBySubject ON audit (subject, id);
  CREATE TABLE doomedBlobs (digest TEXT PRIMARY KEY) STRICT;
  `,
  `
  -- A device may be registered before it has a certificate, and have two while it changes them.
  CREATE TABLE devicesNew (
    name TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, state TEXT NOT NULL,
    fingerprint TEXT UNIQUE, expires INTEGER, created INTEGER NOT NULL, lastSeen INTEGER, reported TEXT, desired TEXT,
    mac TEXT, chipId TEXT, nextFingerprint TEXT UNIQUE, nextExpires INTEGER
  ) STRICT;
  INSERT INTO devicesNew (name, id, type, state, fingerprint, expires, created, lastSeen, reported, desired)
    SELECT name, id, type, state, fingerprint, expires, created, lastSeen, reported, desired FROM devices;
  DROP TABLE devices;
  ALTER TABLE devicesNew RENAME TO devices;
  CREATE TABLE claims (
    digest TEXT PRIMARY KEY, device TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL, publicKey TEXT,
    certificate TEXT
  ) STRICT;
  CREATE INDEX claimsByDevice ON claims (device);
  CREATE TABLE births (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL, name TEXT NOT NULL, stored INTEGER NOT NULL, envelope TEXT NOT NULL
  ) STRICT;
  CREATE INDEX birthsByDevice ON births (device, id);
  CREATE TABLE firmware (
    name TEXT NOT NULL, version INTEGER NOT NULL, sequence INTEGER NOT NULL UNIQUE, digest TEXT NOT NULL,
    bytes INTEGER NOT NULL, pushed INTEGER NOT NULL, info TEXT NOT NULL, envelope TEXT NOT NULL,
    PRIMARY KEY (name, version)
  ) STRICT;
  `,
  platform,
  certificates,
  rolloutKind,
  configs,
  rolloutWaves,
  ddi,
  deltas,
  rolloutStates,
  logins,
  pipelineRuns,
  damage,
  health,
  alarms,
  presences,
  auditLog,
  alarmFailures,
  alarmTargets,
  crashes,
  crashSymbols,
  replicaFacts,
  commands,
  callIndexes,
  deviceSettings,
  roleLeases,
  oidc,
  trainingRuns,
  newEvents,
  deviceRights,
  rolloutRevisions,
  suggestions,
  batches,
  schemaRegistry,
  loginSessions,
  logRetention,
  pipelineRequests,
  history,
  signalDrift,
  alarmRevisions,
  remoteAgents,
  replicaUrls,
];

/**
 * Number of migrations that a program must know to work with a database that has all of them. Later ones only add tables, columns that may
 * be absent, indexes, and rows that earlier versions ignore (expand). Replicas of the previous version therefore continue on PostgreSQL
 * during a rolling upgrade. A migration that removes or changes something (contract) raises this number to its own; all replicas must be
 * stopped to upgrade past it.
 */
export const requiredMigrations = migrations.indexOf(replicaFacts);
