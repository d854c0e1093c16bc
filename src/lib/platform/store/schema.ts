import type { Generated } from 'kysely';

/** A version of firmware, or of a configuration. */
export interface ReleaseRow {
  name: string;
  version: number;
  /** Of its newest manifest. */
  sequence: number;
  digest: string;
  bytes: number;
  pushed: number;
  /** JSON of what its card tells besides. */
  info: string;
  /** JSON */
  envelope: string;
}

/** The tables of the platform's state. Times are milliseconds since 1970; JSON columns say so. */
export interface Schema {
  meta: { key: string; value: string };
  /** People and machines that may be told apart; each has tokens. `disabled`: since when none of them is good. */
  users: { name: string; role: string; created: number; disabled: number | null };
  tokens: {
    id: string;
    /** SHA-256 of the token: it is kept nowhere itself. */
    digest: string;
    /** What it is for, in its maker's words. */
    name: string;
    /** Whose it is; null = of the platform's first operator. */
    owner: string | null;
    role: string;
    /** JSON: what it is narrowed to; null = all that the role may. */
    scopes: string | null;
    created: number;
    expires: number;
    lastUsed: number | null;
    revoked: number | null;
  };
  /** Links into the dashboard and its sessions, by the SHA-256 of their secret; `token`: the id of the one that they act for. */
  logins: { digest: string; kind: 'link' | 'session'; token: string; created: number; expires: number };
  /** Runs of pipelines, as their runners tell them. JSON: what lists show, and all of it. */
  pipelineRuns: { project: string; run: string; state: string; told: number; summary: string; data: string };
  /** What a request with an Idempotency-Key was answered, for its repeats. */
  answers: { who: string; key: string; request: string; status: number; body: string; created: number };
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
    /** JSON: tag → value. */
    tags: Generated<string>;
    /** JSON: names, sorted. */
    groups: Generated<string>;
    /** Rises with each change that somebody made: the ETag. */
    revision: Generated<number>;
    /** scrypt of the secret of a device that cannot show a certificate. */
    secret: string | null;
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
  firmware: ReleaseRow;
  configs: ReleaseRow;
  /** Those that a newer one of the same version took the place of. `kind`: `firmware` or `config`. */
  releaseManifests: {
    kind: string;
    sequence: number;
    name: string;
    version: number /** JSON */;
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
    /** JSON of what came in without a signature, and from where; such a version has sequence 0 until somebody signs it. */
    origin: Generated<string | null>;
  };
  manifests: { sequence: number; name: string; version: number /** JSON */; envelope: string };
  rollouts: {
    id: string;
    state: string;
    created: number;
    ended: number | null;
    /** Rises with each change. */
    revision: number;
    /** JSON: what else is known of it as a whole. */
    head: string;
  };
  /** What a rollout is of, in the order in which devices take it; place −1 is what they may go back to. */
  rolloutReleases: { rollout: string; place: number; kind: string; name: string; version: number };
  rolloutDevices: {
    rollout: string;
    device: string;
    wave: number;
    /** In the rollout's order. */
    place: number;
    state: string;
    updated: number;
    /** That of the rollout when this was last changed. */
    revision: number;
    /** JSON */
    data: string;
  };
  /** What the guide's listeners serve (compat/). `model` and `version`: what it is of; null = of none. */
  guideFiles: {
    folder: string;
    name: string;
    digest: string;
    bytes: number;
    /** Content-Type */
    type: string;
    modified: number;
    model: string | null;
    version: number | null;
    /** 0: made by our ingest, and nobody was told of it yet. */
    announced: number;
  };
  /** Lines of CSV that wait for their file to be full. */
  guideRows: { id: Generated<number>; line: string };
  /** The next offset to read of a Kafka topic; null = what was written at `since` (ms since 1970) or later. */
  guidePositions: { topic: string; since: number; next: number | null };
  /** Every change, in order; ids rise in the order of commits. */
  events: {
    id: Generated<number>;
    at: number;
    type: string;
    subject: string;
    who: string;
    /** JSON */
    data: string;
  };
  /** How far a reader of the events has come: `kafka`, `webhook:ID`, … */
  cursors: { name: string; position: number };
  webhooks: {
    id: string;
    url: string;
    /** JSON: types of events, with `*` at the end for all that begin so. */
    types: string;
    secret: string;
    created: number;
    enabled: number;
    failures: number;
    retryAt: number | null;
    error: string | null;
    /** Since when nothing has arrived, ms since 1970. */
    failingSince: number | null;
    updated: number;
    /** Whether its target may be in a private network, or this machine. */
    allowPrivate: number;
    /** After a rotation, for a while: both sign. */
    secretBefore: string | null;
    secretBeforeUntil: number | null;
  };
  /** Work that takes longer than a request. */
  jobs: {
    id: string;
    kind: string;
    state: string;
    who: string;
    created: number;
    started: number | null;
    ended: number | null;
    updated: number;
    /** What it is at, and how much of how much is done. */
    step: string | null;
    done: number;
    total: number | null;
    /** JSON */
    request: string;
    result: string | null;
    error: string | null;
    /** Work of others: lost, if nothing was heard of it by then. */
    leaseUntil: number | null;
    /** When somebody wanted it to end. */
    cancelled: number | null;
  };
  /** Patches that make one blob of another; `digest` null = it would save less than half. `bytes`: of the patch. */
  deltas: { base: string; target: string; digest: string | null; bytes: number; made: number };
  /** What clients of the Direct Device Integration API are to do, by the device's id. */
  ddiActions: {
    id: number;
    device: string;
    /** As in `desired.rollout`. */
    wish: string;
    state: string;
    created: number;
    ended: number | null;
    /** JSON */
    data: string;
  };
  /** `wants`: 1 = the attributes of this client are asked for. */
  ddiDevices: { device: string; wants: number };
  /** Of devices: all that were given and have not ended. */
  certificates: { serial: string; fingerprint: string; device: string; expires: number };
  /** Blobs that nobody refers to any more: a removal that was cut short is ended at the next start. */
  doomedBlobs: { digest: string };
  /** Blobs that somebody has put and nothing refers to yet: until then they are no orphans. */
  blobLeases: { digest: string; until: number };
  /** The last word on each whole recording. */
  labels: { stream: string; device: string; recording: string; label: string; given: number };
  /** Every word; `label` null takes one back, without times it is on the whole recording. */
  labelEvents: {
    id: Generated<number>;
    at: number;
    who: string;
    stream: string;
    device: string;
    recording: string;
    label: string | null;
    fromT: number | null;
    toT: number | null;
  };
  damages: DamageRow;
  logFiles: LogFileRow;
  /** How long telemetry is kept; null = no limit. `labelled`: 1 = labelled recordings go, too. */
  retention: { stream: string; days: number | null; bytes: number | null; labelled: number };
}

/** Damage at rest that is not repaired. `lost`: JSON; `acknowledged`: since when an operator knows of it. */
interface DamageRow {
  id: string;
  part: string;
  place: string;
  problem: string;
  lost: string | null;
  repairable: number;
  found: number;
  acknowledged: number | null;
  who: string | null;
}

/** A file of an append-only log as it was last known to be durable; see verify/ledger.ts. */
interface LogFileRow {
  log: string;
  number: number;
  generation: number;
  bytes: number;
  /** CRC-32 of these bytes. */
  crc: number;
  /** SHA-256 in hex; null while it is written to. */
  digest: string | null;
  /** JSON */
  counts: string;
}
