import type { Generated } from 'kysely';

/** The tables of the platform's state. Times are milliseconds since 1970; JSON columns say so. */
export interface Schema {
  meta: { key: string; value: string };
  tokens: { digest: string; role: string; created: number; expires: number };
  devices: {
    name: string;
    id: string;
    type: string;
    state: string;
    /** null: registered, and without a certificate yet. */
    fingerprint: string | null;
    expires: number | null;
    created: number;
    lastSeen: number | null;
    /** JSON of the message last reported, and of the one last desired. */
    reported: string | null;
    desired: string | null;
    mac: string | null;
    chipId: string | null;
    /** A certificate that was made and not used yet. */
    nextFingerprint: string | null;
    nextExpires: number | null;
  };
  /** One-time tokens for a device's first certificate; `publicKey` and `certificate` are of who used it. */
  claims: {
    digest: string;
    /** The device's id. */
    device: string;
    created: number;
    expires: number;
    publicKey: string | null;
    certificate: string | null;
  };
  births: {
    id: Generated<number>;
    device: string;
    name: string;
    stored: number /** JSON */;
    envelope: string;
  };
  firmware: {
    name: string;
    version: number;
    sequence: number;
    digest: string;
    bytes: number;
    pushed: number;
    /** JSON of what its card tells besides. */
    info: string;
    /** JSON */
    envelope: string;
  };
  models: {
    name: string;
    version: number;
    sequence: number;
    digest: string;
    bytes: number;
    pushed: number;
    /** JSON of bundle.json. */
    info: string;
    stage: Generated<string>;
    /** When it was removed: its number is never given again. */
    removed: Generated<number | null>;
  };
  manifests: { sequence: number; name: string; version: number /** JSON */; envelope: string };
  rollouts: {
    id: string;
    name: string;
    version: number;
    sequence: number;
    selector: string;
    state: string;
    created: number;
    deadline: number;
    ended: number | null;
  };
  rolloutDevices: {
    rollout: string;
    device: string;
    state: string;
    step: string | null;
    /** JSON */
    error: string | null;
    updated: number;
  };
  audit: {
    id: Generated<number>;
    at: number;
    who: string;
    action: string;
    subject: string;
    /** JSON */
    detail: string;
  };
  /** Blobs that nobody refers to any more: a removal that was cut short is ended at the next start. */
  doomedBlobs: { digest: string };
  labels: { stream: string; device: string; recording: string; label: string; given: number };
}

/** Run in order, each once and whole; `user_version` counts them. Never change one that was released: add another. */
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
];
