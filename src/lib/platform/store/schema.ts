import type { Generated } from 'kysely';

/** A version of firmware, or of a configuration. */
export interface ReleaseRow {
  name: string;
  version: number;
  /** Sequence number of the version's newest manifest. */
  sequence: number;
  digest: string;
  bytes: number;
  pushed: number;
  /** Further properties of the version, as JSON. */
  info: string;
  /** JSON */
  envelope: string;
}

/** The tables of the platform's state. Times are milliseconds since 1970; columns that contain JSON are marked. */
export interface Schema {
  meta: { key: string; value: string };
  /** People and machines; each has tokens. `disabled`: when the user's tokens became invalid; null = enabled. */
  /** `selector`: devices that the rights are limited to; null = all devices. */
  users: { name: string; role: string; selector: string | null; created: number; disabled: number | null };
  tokens: {
    id: string;
    /** SHA-256 of the token, which itself is not stored. */
    digest: string;
    /** Purpose, as described by the creator. */
    name: string;
    /** Owner of the token; null = an operator token issued by the platform itself, and tokens created with it. */
    owner: string | null;
    role: string;
    /** JSON: the scopes that the token is restricted to; null = everything the role allows. */
    scopes: string | null;
    /** JSON: the selectors that limit the token's devices, in addition to the owner's; null = none. */
    selectors: string | null;
    created: number;
    expires: number;
    lastUsed: number | null;
    revoked: number | null;
  };
  /**
   * Login links to the dashboard, and their sessions, by the SHA-256 of their secret; `token`: the id of the token
   * whose rights they have. The last four are null for links, and in sessions that an earlier version opened.
   */
  logins: {
    digest: string;
    kind: 'link' | 'session';
    token: string;
    created: number;
    expires: number;
    method: string | null;
    address: string | null;
    agent: string | null;
    lastUsed: number | null;
  };
  /** Accounts of the login provider, by the users' names. */
  oidcUsers: { name: string; issuer: string; subject: string };
  /** Logins that are not complete yet, by the SHA-256 of their secret, with which `data` is sealed. */
  oidcFlows: { digest: string; data: string; expires: number };
  /** Tokens of logins. `sealed`: the refresh token, or an empty text, sealed with the login's secret; `checked`: time of the last check at the provider, or later after a failure. */
  oidcTokens: {
    token: string;
    sealed: string;
    checked: number;
    ends: number;
    address: string | null;
    agent: string | null;
  };
  /** Runs of pipelines, as reported by their runners. `summary` and `data` are JSON: the summary for lists, and the whole run. */
  pipelineRuns: { project: string; run: string; state: string; told: number; summary: string; data: string };
  /** Connected pipeline runners; `data` is JSON: the version of aiot and the steps. */
  pipelineRunners: {
    id: string;
    project: string;
    name: string;
    who: string;
    created: number;
    seen: number;
    leaseUntil: number;
    data: string;
  };
  /** Pipeline runs that users requested. `force` is 0 or 1; `claimedBy`: the user of the runner; `log` and `error` are JSON; `lines`: number of lines sent so far. */
  pipelineRequests: {
    id: string;
    project: string;
    state: string;
    who: string;
    created: number;
    wanted: string | null;
    until: string | null;
    force: number;
    runner: string | null;
    runnerName: string | null;
    claimed: number | null;
    claimedBy: string | null;
    leaseUntil: number | null;
    ended: number | null;
    run: string | null;
    cancelledBy: string | null;
    error: string | null;
    lines: number;
    log: string;
  };
  /** Published training runs; `data` is JSON. */
  trainingRuns: { model: string; run: string; data: string };
  /** Responses to requests with an Idempotency-Key, for repeats. */
  answers: { who: string; key: string; request: string; status: number; body: string; created: number };
  devices: {
    name: string;
    id: string;
    type: string;
    state: string;
    /** Fingerprint of the current certificate; null = the device has no certificate yet. */
    fingerprint: string | null;
    expires: number | null;
    created: number;
    lastSeen: number | null;
    /** JSON: the device's last report, and its current desired state. */
    reported: string | null;
    desired: string | null;
    /** JSON: as in devices/records.ts. */
    settings: Generated<string | null>;
    mac: string | null;
    chipId: string | null;
    /** A certificate that was issued but has not been used yet. */
    nextFingerprint: string | null;
    nextExpires: number | null;
    /** JSON: tag → value. */
    tags: Generated<string>;
    /** JSON: names, sorted. */
    groups: Generated<string>;
    /** Increases with each change by a user; used as the ETag. */
    revision: Generated<number>;
    /** scrypt of the secret of a device that cannot show a certificate. */
    secret: string | null;
  };
  /** One-time tokens for a device's first certificate; `publicKey` and `certificate` belong to the device that used it. */
  claims: {
    digest: string;
    /** The device's id. */
    device: string;
    created: number;
    expires: number;
    publicKey: string | null;
    certificate: string | null;
  };
  /** Schemas of all subjects. `digest`: SHA-256 of type, content and references. */
  schemas: { id: number; digest: string; type: string; content: string; created: number };
  schemaReferences: { schema: number; name: string; subject: string; version: number };
  /** `schema`: id of the schema. `deleted`: 1 = deleted, but not permanently. */
  schemaVersions: {
    subject: string;
    version: number;
    schema: number;
    deleted: number;
    created: number;
    who: string;
  };
  /** `latest`: highest version so far. Null = the global level or mode, which the subject '' has. */
  schemaSubjects: { subject: string; latest: number; level: string | null; mode: string | null };
  /** Batches of devices with one key. `tags`, `groups`: JSON, as in `devices`. */
  batches: {
    name: string;
    digest: string;
    type: string;
    size: number;
    created: number;
    expires: number;
    revoked: number | null;
    who: string;
    pattern: string | null;
    tags: string;
    groups: string;
  };
  /** Serial numbers that a batch expects. */
  batchSerials: { batch: string; serial: string };
  /** Devices that have connected with the key of a batch. */
  enrollments: {
    name: string;
    batch: string;
    serial: string;
    mac: string | null;
    state: string;
    /** SPKI DER, base64. */
    publicKey: string;
    address: string;
    created: number;
    seen: number;
    /** Id of the registered device; null = none yet. */
    device: string | null;
    certificate: string | null;
    who: string | null;
    decided: number | null;
    note: string | null;
    problem: string | null;
    conflicts: number;
    /** When a contradiction was last recorded as an event. */
    conflictAt: number | null;
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
  /** Manifests that were replaced by a newer manifest for the same version. `kind`: `firmware` or `config`. */
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
    /** Time of removal. The row stays, so that the version number is not reused. */
    removed: Generated<number | null>;
    /** JSON of the unsigned upload and its origin; such a version has sequence number 0 until a user signs it. */
    origin: Generated<string | null>;
  };
  manifests: { sequence: number; name: string; version: number /** JSON */; envelope: string };
  rollouts: {
    id: string;
    state: string;
    created: number;
    ended: number | null;
    /** Increases with each change. */
    revision: number;
    /** JSON of additional properties of the rollout as a whole. */
    head: string;
  };
  /** A rollout's releases, in the order of installation; place −1 is the rollback release. */
  rolloutReleases: { rollout: string; place: number; kind: string; name: string; version: number };
  rolloutDevices: {
    rollout: string;
    device: string;
    wave: number;
    /** Position in rollout order. */
    place: number;
    state: string;
    updated: number;
    /** Revision of the rollout when this row was last changed. */
    revision: number;
    /** JSON */
    data: string;
  };
  /**
   * Files of the guide's listeners (compat/). `model` and `version`: the version to which a file belongs; null = none.
   */
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
    /** 0: made by our ingest, and not announced yet. */
    announced: number;
  };
  /** Lines of CSV waiting for a full file. */
  guideRows: { id: Generated<number>; line: string };
  /**
   * The next offset to read from a Kafka topic; null = reading begins with messages written at `since` (ms since 1970)
   * or later.
   */
  guidePositions: { topic: string; since: number; next: number | null };
  /** Devices that are or were unwell, by the device's id. The columns with JSON are null if there is nothing to store. */
  deviceHealth: {
    device: string;
    /** JSON: cause → the time since when it has been observed. */
    causes: Generated<string>;
    /** JSON: number, first and last time, and last error of the rejected messages. */
    rejected: string | null;
    /** JSON: a user's acknowledgment and snooze, as in api/contract/attention.ts. */
    acknowledged: string | null;
    snoozed: string | null;
  };
  /**
   * How the telemetry of devices compares with the training data of their model, by the device's id. `state`: JSON of the open window, as in
   * data/drift/model-reference.ts. `drift`: JSON of the drift; null = none.
   */
  deviceDrift: {
    device: string;
    model: string;
    version: number;
    stream: string;
    state: string;
    drift: string | null;
  };
  /** Closed windows. `psi`, `drifted`: JSON, by field and the names of the drifted fields. */
  driftWindows: {
    id: Generated<number>;
    device: string;
    begun: number;
    ended: number;
    psi: string;
    drifted: string;
  };
  /** Commands for devices of a type. `definition`: JSON, as in api/contract/commands.ts. */
  commands: {
    type: string;
    name: string;
    project: string;
    definition: string;
    created: number;
    who: string;
  };
  /** Settings of devices of a type. `definition`: JSON, as in api/contract/settings.ts. */
  settings: { type: string; project: string; definition: string; created: number; who: string };
  /** Overrides of settings for the devices of a type in a group. `overrides`: JSON. */
  groupSettings: { type: string; groupName: string; priority: number; overrides: string; who: string };
  /**
   * Calls of commands. `request`: digest of the device, the command and its parameters. `sent`: when the call was sent first; null = not
   * yet. `outcome`: JSON, as in devices/calls.ts; null = the call has not ended.
   */
  calls: {
    id: string;
    device: string;
    command: string;
    request: string;
    who: string;
    created: number;
    deadline: number;
    sent: number | null;
    outcome: string | null;
  };
  /**
   * `definition`: JSON, as in api/contract/alarms.ts. `who`: the user who created or last changed it. `revision`: null = not changed since it
   * was created, or by an earlier version.
   */
  alarms: {
    name: string;
    definition: string;
    created: number;
    who: string;
    silencedUntil: number | null;
    revision: string | null;
  };
  /** `state`: JSON, as in fleet/alarm.ts. */
  alarmStates: { alarm: string; device: string; state: string };
  /** Addresses that incidents are sent to. `definition`: JSON, as in api/contract/alarm-targets.ts. */
  alarmTargets: {
    name: string;
    definition: string;
    created: number;
    who: string;
    delivered: number | null;
    failures: number;
    error: string | null;
    retryAt: number | null;
  };
  /**
   * Incidents whose beginning or end is yet to be sent to a target (`sent`: null), or of which the target was notified. `event`: raise
   * or clear. `batch`: id of the message that the row is part of. `data`: JSON of the event.
   */
  alarmNotices: {
    target: string;
    incident: string;
    event: string;
    alarm: string;
    device: string;
    due: number;
    batch: string | null;
    sent: number | null;
    data: string;
  };
  /** Samples that an alarm's expressions could not be evaluated on: their number, the first time, and the newest one. */
  alarmFailures: {
    alarm: string;
    count: number;
    since: number;
    at: number;
    device: string;
    error: string;
  };
  incidents: {
    id: string;
    alarm: string;
    device: string;
    since: number;
    raised: number;
    cleared: number | null;
    notified: number;
    message: string;
    /** JSON */
    samples: string;
    /** JSON */
    acknowledged: string | null;
  };
  /**
   * Stored crash reports. `key`: the id that the device chose. `report`: JSON, as in formats/crash.ts. `frames`: JSON, its backtrace with names from the ELF file;
   * null = none were found.
   */
  crashes: {
    id: string;
    device: string;
    key: string;
    at: number;
    signature: string;
    version: string | null;
    build: string | null;
    report: string;
    frames: Generated<string | null>;
  };
  /** Crashes with the same signature. `reason`: that of the newest crash. `place`: JSON, a call in the backtrace. */
  crashGroups: { signature: string; kind: string; reason: string; place: string | null };
  /** Number of crashes, and the times of the first and the last. An unknown program or version is empty. */
  crashCounts: {
    signature: string;
    device: string;
    firmware: string;
    version: string;
    count: number;
    first: number;
    last: number;
  };
  /** ELF files by GNU build ID and by SHA-256 (hex). */
  crashSymbols: { build: string; digest: string; added: number };
  /** Signatures of groups that became part of another group when their ELF file was registered. */
  crashMoves: { signature: string; target: string; at: number };
  /** Crashes of a device in an hour, counted since 1970. */
  crashHours: { device: string; hour: number; count: number };
  /**
   * Counts of presence and predictions over time. `width`, `begun`: of the bucket, ms. `part`: −1 = all devices together, otherwise the devices
   * with numbers from 256 × part. `minutes`: in which the fleet was observed, in the rows with all devices. `counts`: see fleet/history.ts.
   */
  history: { kind: string; width: number; begun: number; part: number; minutes: number; counts: string };
  /** Numbers of devices in `history`. `day`: when the device was last counted, in days since 1970. */
  historyDevices: { device: string; number: number; day: number };
  /**
   * When each replica last shared its state, by its own clock, and its connections (`presences`). `facts`: its report in `aiot status`, as
   * JSON; null = it has not reported. `url`: its address for other replicas; null = its version of aiot does not report it.
   */
  replicas: { replica: string; seen: number; facts: Generated<string | null>; url: Generated<string | null> };
  presences: { device: string; replica: string };
  /** Agents for remote access. `agent`: id of the connection; `url`: address of its replica for other replicas. Empty with SQLite. */
  remoteAgents: { device: string; replica: string; url: string; agent: string; connected: number };
  /** Open remote sessions. `record`: JSON, as the audit log describes the session. */
  remoteSessions: { session: string; replica: string; record: string };
  /** Running replicas that take on roles; see store/leases.ts. `beat` grows while a replica runs. `wanted`: JSON, the roles it can take on. */
  leaseHolders: { holder: string; beat: number; wanted: string };
  /** The replica that leads each role; null = none does. `epoch` grows each time that a replica takes on the role. */
  roleLeases: { role: string; holder: string | null; epoch: number };
  /** Every change, in order; ids increase in commit order. */
  events: {
    id: Generated<number>;
    at: number;
    type: string;
    subject: string;
    who: string;
    /** JSON */
    data: string;
  };
  /** Events that several processes have recorded, and that no process has moved to `events` yet. Not used with SQLite. */
  newEvents: {
    id: Generated<number>;
    at: number;
    type: string;
    subject: string;
    who: string;
    /** JSON */
    data: string;
  };
  /** Changes and denied attempts, each sealed with the hash of the one before it; see events/audit.ts. */
  auditLog: {
    seq: number;
    at: number;
    type: string;
    subject: string;
    who: string;
    /** JSON */
    data: string;
    previous: string;
    hash: string;
  };
  /** Position of a reader of the events: `kafka`, `webhook:ID`, … */
  cursors: { name: string; position: number };
  webhooks: {
    id: string;
    url: string;
    /** JSON: event types; a trailing `*` matches a prefix. */
    types: string;
    secret: string;
    created: number;
    enabled: number;
    failures: number;
    retryAt: number | null;
    error: string | null;
    /** When deliveries began to fail; null = the last delivery succeeded. */
    failingSince: number | null;
    updated: number;
    /** Whether the target may be on a private network or on this machine. */
    allowPrivate: number;
    /** The previous secret, which also signs events for a while after a rotation. */
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
    /** Current step, and progress as `done` of `total`. */
    step: string | null;
    done: number;
    total: number | null;
    /** JSON */
    request: string;
    result: string | null;
    error: string | null;
    /** For external jobs: the job counts as lost if no report arrives before this time. */
    leaseUntil: number | null;
    /** Time of the cancellation request. */
    cancelled: number | null;
  };
  /**
   * Patches from one blob to another; if `digest` is null, the patch would save less than half. `bytes`: size of the
   * patch.
   */
  deltas: { base: string; target: string; digest: string | null; bytes: number; made: number };
  /** Actions for clients of the Direct Device Integration API, by the device's id. */
  ddiActions: {
    id: number;
    device: string;
    /** Name of the desired release, as in `desired.rollout`. */
    wish: string;
    state: string;
    created: number;
    ended: number | null;
    /** JSON */
    data: string;
  };
  /** `wants`: 1 = this client's attributes are requested. */
  ddiDevices: { device: string; wants: number };
  /** Certificates issued to devices; readers ignore expired ones. */
  certificates: { serial: string; fingerprint: string; device: string; expires: number };
  /** Unreferenced blobs to delete, so that an interrupted removal is completed at the next start. */
  doomedBlobs: { digest: string };
  /** Uploaded blobs without references so far. Until their lease expires, they are not orphans. */
  blobLeases: { digest: string; until: number };
  /** The current label of each whole recording. */
  labels: { stream: string; device: string; recording: string; label: string; given: number };
  /** Every label change. `label` null removes a label. A label without times is for the whole recording. */
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
  /** Retention of telemetry; null = no limit. `labelled`: 1 = labeled recordings are removed too. */
  retention: { stream: string; days: number | null; bytes: number | null; labelled: number };
  /** Rankings of recordings to label next. `data`: JSON of a RankingRequest. */
  suggestions: { stream: string; at: number; who: string; data: string };
}

/** Unrepaired damage to stored data. `lost`: JSON; `acknowledged`: when an operator acknowledged it. */
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

/** A file of an append-only log in its last known durable state; see verify/ledger.ts. */
interface LogFileRow {
  log: string;
  number: number;
  generation: number;
  bytes: number;
  /** CRC-32 of the file's first `bytes` bytes. */
  crc: number;
  /** SHA-256 in hex; null while the file is being written to. */
  digest: string | null;
  /** JSON */
  counts: string;
}
