import { type ZodObject, type ZodRawShape, z } from 'zod';
import { lostSchema } from '../damage.js';
import { releaseSchema } from '../rollouts/schema.js';

/** A kind of event: its description, its subject, and the format of its data. */
export interface EventKind {
  about: string;
  subject: string;
  data: ZodObject<ZodRawShape>;
}

const none = z.object({});
const fingerprint = z.string();
const told = z.object({ code: z.string(), message: z.string() }).nullable();
const kind = (subject: string, about: string, data: ZodObject<ZodRawShape> = none): EventKind => ({
  subject,
  about,
  data,
});

const pushed = z.object({ sequence: z.int(), digest: z.string(), keys: z.array(z.string()) });
const moved = z.object({
  from: z.string(),
  to: z.string(),
  gate: z.string().optional(),
  reason: z.string().optional(),
  replacedBy: z.int().optional(),
});
const job = z.object({ kind: z.string() });

/** All kinds of events by type, which is a noun and a verb. The members of `data` that are listed here are stable; there may be others. */
export const eventTypes = {
  'access.deny': kind(
    'attempt',
    'Requests or connections without permission were rejected: the first is recorded immediately, repetitions once a minute.',
    z.object({ reason: z.string(), address: z.string(), count: z.int() }),
  ),
  'alarm.acknowledge': kind(
    'alarm',
    'A user acknowledged open incidents of the alarm, for some devices or for all (null).',
    z.object({ devices: z.array(z.string()).nullable(), note: z.string().nullable(), incidents: z.int() }),
  ),
  'alarm.clear': kind(
    'alarm',
    'An incident of the alarm ended.',
    z.object({ incident: z.string(), device: z.string(), severity: z.string(), cleared: z.int() }),
  ),
  'alarm.create': kind('alarm', 'The alarm was created.'),
  'alarm.raise': kind(
    'alarm',
    'The condition of the alarm holds on a device. Recorded once for each incident.',
    z.object({
      incident: z.string(),
      device: z.string(),
      severity: z.string(),
      since: z.int(),
      raised: z.int(),
      message: z.string(),
      next: z.string(),
    }),
  ),
  'alarm.remove': kind('alarm', 'The alarm and its incidents were removed.'),
  'alarm.silence': kind(
    'alarm',
    'A user silenced the alarm until a time, or ended the silence (null).',
    z.object({ until: z.int().nullable(), note: z.string().nullable() }),
  ),
  'alarm.target.add': kind('target', 'An address for incidents was added; its URL contains no credentials.'),
  'alarm.target.remove': kind('target', 'The address was removed.'),
  'alarm.target.update': kind(
    'target',
    'A project changed the address, or the incidents that are sent to it.',
  ),
  'alarm.update': kind(
    'alarm',
    'A project or a user changed the definition of the alarm; its open incidents ended.',
    z.object({ project: z.string().nullable() }),
  ),
  'backup.create': kind('platform', 'A backup was started.', z.object({ created: z.int() })),
  'batch.create': kind(
    'batch',
    'A batch of devices with one key was created.',
    z.object({ type: z.string(), size: z.int(), expires: z.int() }),
  ),
  'batch.revoke': kind('batch', 'The key of the batch was revoked.'),
  'claim.make': kind(
    'device',
    'A one-time token for a first certificate was created.',
    z.object({ expires: z.int() }),
  ),
  'commands.apply': kind(
    'project',
    "A project's commands for devices were created, changed or removed.",
    z.object({
      created: z.array(z.string()),
      changed: z.array(z.string()),
      removed: z.array(z.string()),
    }),
  ),
  'config.push': kind('name@version', 'A signed version of a device configuration was stored.', pushed),
  'config.sign': kind('name@version', 'A version of a configuration was signed again.', pushed),
  'damage.acknowledge': kind(
    'part',
    'An operator acknowledged damage; the status no longer warns of it.',
    z.object({ ids: z.array(z.string()) }),
  ),
  'damage.find': kind(
    'part',
    'Damage to stored data was found: `rows` of telemetry are lost. The first 50 places are listed, with stream, device and time range if known.',
    z.object({
      findings: z.int(),
      rows: z.int(),
      places: z.array(z.object({ place: z.string(), problem: z.string(), lost: lostSchema.optional() })),
    }),
  ),
  'damage.repair': kind('part', 'Damage was repaired.', z.object({ ids: z.array(z.string()) })),
  'data.label': kind(
    'stream/device/recording',
    'A recording was labeled, as a whole or between two times; null removed the label.',
    z.object({ label: z.string().nullable(), from: z.number().optional(), to: z.number().optional() }),
  ),
  'data.remove': kind(
    'stream/device/recording',
    'A recording was removed, manually or by retention.',
    z.object({ samples: z.int(), bytes: z.int() }),
  ),
  'data.retention': kind(
    'stream',
    'The retention policy of the stream was set; null means no limit.',
    z.object({ days: z.number().nullable(), bytes: z.int().nullable(), labelled: z.boolean() }),
  ),
  'data.suggest': kind(
    'stream',
    'Recordings to label next were published: the model that ranked them, and their number.',
    z.object({ model: z.string(), recordings: z.int() }),
  ),
  'dataset.create': kind('stream', 'The first telemetry of a stream was stored.'),
  'device.acknowledge': kind(
    'device',
    "A user acknowledged the device's problems.",
    z.object({ causes: z.array(z.string()), note: z.string().nullable() }),
  ),
  'device.activate': kind('device', 'The device connected for the first time.'),
  'device.birth': kind(
    'device',
    'A signed birth certificate of the device was stored.',
    z.object({ fingerprint, mac: z.string().nullable() }),
  ),
  'device.claim': kind(
    'device',
    'The device received its first certificate with a one-time token, or the key of its batch.',
    z.object({ fingerprint }),
  ),
  'device.connect': kind('device', 'The device connected to the broker.'),
  'device.crash': kind(
    'device',
    'A crash report of the device was stored. `new`: no crash with this signature was known before.',
    z.object({
      crash: z.string(),
      signature: z.string(),
      kind: z.string(),
      reason: z.string(),
      firmware: z.string().nullable(),
      version: z.string().nullable(),
      new: z.boolean(),
    }),
  ),
  'device.desire': kind(
    'device',
    'A release was assigned to the device, or withdrawn (null).',
    z.object({ desired: z.unknown() }),
  ),
  'device.disconnect': kind('device', "The device's last connection to the broker was closed."),
  'device.group': kind(
    'device',
    "The device's groups were changed.",
    z.object({ add: z.array(z.string()), remove: z.array(z.string()) }),
  ),
  'device.provision': kind(
    'device',
    'The device was registered with a certificate.',
    z.object({ fingerprint }),
  ),
  'device.register': kind(
    'device',
    'The device was registered without a certificate.',
    z.object({ type: z.string() }),
  ),
  'device.remove': kind(
    'device',
    'The device was removed; its telemetry and history are kept.',
    z.object({ id: z.string(), type: z.string() }),
  ),
  'device.reopen': kind('device', "A user ended the device's acknowledgment or snooze."),
  'device.replace': kind(
    'device',
    'The device was replaced by another board.',
    z.object({ fingerprint, before: z.string(), id: z.string() }),
  ),
  'device.report': kind(
    'device',
    'The device reported a change: its model or firmware, the step of an update, an error, or another reason for its last restart. Progress within a step causes no event.',
    z.object({
      state: z.string(),
      rollout: z.string().nullable(),
      model: z.object({ name: z.string(), version: z.int(), sequence: z.int() }).nullable(),
      error: told,
      firmware: z.string().nullable(),
      config: z.object({ name: z.string(), version: z.int(), sequence: z.int() }).nullable().optional(),
      boot: z.string().optional(),
    }),
  ),
  'device.call': kind(
    'device',
    'A command was sent to the device. Secret parameters are masked.',
    z.object({ call: z.string(), command: z.string(), params: z.record(z.string(), z.unknown()) }),
  ),
  'device.call-ended': kind(
    'device',
    "A command call ended, with the device's reply or an error.",
    z.object({
      call: z.string(),
      command: z.string(),
      ok: z.boolean(),
      code: z.string().nullable(),
      ms: z.number().nullable(),
    }),
  ),
  'device.remote': kind(
    'device',
    'A user opened a remote session on the device.',
    z.object({ session: z.string(), kind: z.string(), target: z.string(), until: z.number() }),
  ),
  'device.remote-ended': kind(
    'device',
    'A remote session ended. The bytes are null if the platform was killed.',
    z.object({
      session: z.string(),
      kind: z.string(),
      target: z.string(),
      reason: z.string(),
      ms: z.number(),
      bytesFrom: z.number().nullable(),
      bytesTo: z.number().nullable(),
      /** Size and SHA-256 of the recording; absent if the session was not recorded. */
      recording: z.object({ bytes: z.number(), sha256: z.string() }).optional(),
    }),
  ),
  'device.remote-refused': kind(
    'device',
    'The device refused a remote session that a user asked for.',
    z.object({ session: z.string(), kind: z.string(), target: z.string(), reason: z.string() }),
  ),
  'device.settings': kind(
    'device',
    "The device's own settings were changed.",
    z.object({
      set: z.record(z.string(), z.unknown()),
      unset: z.array(z.string()),
      /** The rollout that changed them. */
      rollout: z.string().optional(),
    }),
  ),
  'settings.apply': kind(
    'project',
    "A project's settings for devices were created, changed or removed.",
    z.object({
      created: z.array(z.string()),
      changed: z.array(z.string()),
      removed: z.array(z.string()),
    }),
  ),
  'settings.group': kind(
    'type',
    'The settings of the devices of a type in a group were changed.',
    z.object({
      group: z.string(),
      priority: z.int(),
      set: z.record(z.string(), z.unknown()),
      unset: z.array(z.string()),
    }),
  ),
  'device.resume': kind('device', 'The device was resumed and can connect again.'),
  'device.revoke': kind('device', "The device's access was permanently revoked."),
  'device.rotate': kind(
    'device',
    'The device received its next certificate.',
    z.object({ fingerprint, before: fingerprint.nullable(), now: z.boolean() }),
  ),
  'device.secret': kind('device', 'The device received a secret for connections without a certificate.'),
  'device.secret-removed': kind('device', "The device's secret was removed."),
  'device.settle': kind(
    'device',
    'The device used its next certificate, which replaced the previous one.',
    z.object({ fingerprint, before: fingerprint.nullable() }),
  ),
  'device.snooze': kind(
    'device',
    "A user hid the device's problems until a time.",
    z.object({ until: z.int(), note: z.string().nullable() }),
  ),
  'device.suspend': kind('device', 'The device was suspended and cannot connect until it is resumed.'),
  'device.tag': kind(
    'device',
    "The device's tags were changed.",
    z.object({ set: z.record(z.string(), z.string()), remove: z.array(z.string()) }),
  ),
  'device.unwell': kind(
    'device',
    "The causes of the device's problems changed.",
    z.object({
      state: z.string(),
      causes: z.array(z.object({ code: z.string(), message: z.string(), next: z.string() })),
    }),
  ),
  'device.well': kind(
    'device',
    'The device no longer has any problems.',
    z.object({ after: z.array(z.string()) }),
  ),
  'enrollment.approve': kind(
    'device',
    'A user, or a rule of the batch, approved the device.',
    z.object({ batch: z.string(), serial: z.string() }),
  ),
  'enrollment.conflict': kind(
    'device',
    'A request with the key of the batch contradicted the device and was rejected; recorded at most once an hour.',
    z.object({ batch: z.string(), serial: z.string(), problem: z.string(), address: z.string() }),
  ),
  'enrollment.reject': kind(
    'device',
    'A user rejected the device.',
    z.object({ batch: z.string(), serial: z.string(), note: z.string().nullable() }),
  ),
  'enrollment.wait': kind(
    'device',
    'A device connected with the key of a batch and waits for a decision.',
    z.object({
      batch: z.string(),
      serial: z.string(),
      mac: z.string().nullable(),
      address: z.string(),
      problem: z.string().nullable(),
    }),
  ),
  'events.prune': kind(
    'events',
    'Old events up to this ID were deleted.',
    z.object({ upTo: z.int(), events: z.int() }),
  ),
  'firmware.push': kind('name@version', 'A signed version of a firmware was stored.', pushed),
  'firmware.symbols': kind(
    'build',
    'An ELF file was registered, so that crashes of its program can be shown with functions and lines.',
    z.object({ digest: z.string(), builds: z.array(z.string()) }),
  ),
  'firmware.sign': kind('name@version', 'A version of a firmware was signed again.', pushed),
  'home-assistant.apply': kind(
    'project',
    'The Home Assistant integration was created, changed or removed; `broker` contains no credentials.',
    z.object({ change: z.string(), broker: z.string().nullable() }),
  ),
  'job.cancel': kind('job', 'Cancellation of the job was requested.', job),
  'job.create': kind('job', 'The job was queued.', job),
  'job.end': kind(
    'job',
    'The job succeeded, failed or was canceled.',
    job.extend({ state: z.string(), error: told }),
  ),
  'job.start': kind('job', 'The job was started.', job),
  'login.begin': kind(
    'user',
    'A user logged in through the login provider.',
    z.object({ via: z.enum(['cli', 'dashboard']), role: z.string(), token: z.string() }),
  ),
  'login.end': kind(
    'user',
    'A login ended because the user logged out, or because the account or its groups no longer permit it.',
    z.object({ reason: z.string(), token: z.string() }),
  ),
  'login.fail': kind('login provider', 'A login failed.', z.object({ reason: z.string() })),
  'logs.remove': kind(
    'logs',
    'Expired log lines were removed: those of the recordings, each of one device and day, that ended before a time.',
    z.object({ recordings: z.int(), lines: z.int(), bytes: z.int(), before: z.number() }),
  ),
  'logs.retention': kind(
    'logs',
    'The retention of log lines was set; null means no limit.',
    z.object({ days: z.number().nullable(), bytes: z.int().nullable() }),
  ),
  'model.demote': kind('name@version', 'The version was demoted by one stage.', moved),
  'model.deploy': kind(
    'name@version',
    'A rollout of the version was started.',
    z.object({ rollout: z.string(), selector: z.string(), devices: z.int() }),
  ),
  'model.promote': kind('name@version', 'The version was promoted by one stage.', moved),
  'model.push': kind('name@version', 'A signed version of a model was stored.', pushed),
  'model.remove': kind(
    'name@version',
    'The version was permanently removed.',
    z.object({ digest: z.string() }),
  ),
  'model.runs': kind('model', 'Training runs of the model were published.', z.object({ added: z.int() })),
  'model.sign': kind('name@version', 'An existing version was signed again.', pushed),
  'model.upload': kind(
    'name@version',
    'An unsigned model was uploaded, on the dashboard or by a client of another system.',
    z.object({ file: z.string(), digest: z.string() }),
  ),
  'pipeline.cancel': kind(
    'project',
    'Cancellation of a requested run was requested.',
    z.object({ request: z.string() }),
  ),
  'pipeline.end': kind(
    'project',
    "A run of the project's pipeline ended.",
    z.object({ run: z.string(), state: z.string() }),
  ),
  'pipeline.request': kind(
    'project',
    'A run was requested from a runner, claimed by one, begun or ended.',
    z.object({
      request: z.string(),
      state: z.string(),
      runner: z.string().nullable(),
      run: z.string().nullable(),
      until: z.string().nullable(),
      force: z.boolean(),
    }),
  ),
  'pipeline.runner': kind(
    'project',
    'A runner of the pipeline connected, disconnected or stopped reporting (lost).',
    z.object({ runner: z.string(), name: z.string(), state: z.string() }),
  ),
  'pipeline.start': kind(
    'project',
    "A run of the project's pipeline was started.",
    z.object({ run: z.string() }),
  ),
  'pipeline.step': kind(
    'project',
    'A step of a run changed its state.',
    z.object({ run: z.string(), step: z.string(), state: z.string() }),
  ),
  'platform.start': kind(
    'platform',
    'A platform process started. Nothing is connected to it yet.',
    z.object({ version: z.string() }),
  ),
  'rollout.change': kind(
    'rollout',
    'The rollout was approved, started, paused, resumed or rolled back.',
    z.object({ state: z.string(), reason: told }),
  ),
  'rollout.end': kind(
    'rollout',
    'All devices of the rollout have finished.',
    z.object({ state: z.string(), reason: told }),
  ),
  'rollout.move': kind(
    'rollout',
    'A device of the rollout made progress.',
    z.object({
      device: z.string(),
      wave: z.int(),
      state: z.string(),
      step: z.string().nullable(),
      error: told,
    }),
  ),
  'rollout.start': kind(
    'rollout',
    'A rollout was started.',
    z.object({
      releases: z.array(releaseSchema),
      selector: z.string(),
      devices: z.int(),
      /** Number of devices in each wave. */
      waves: z.array(z.int()),
    }),
  ),
  'rollout.wave': kind(
    'rollout',
    'A wave of the rollout opened, settled or was stopped.',
    z.object({ wave: z.int(), state: z.string(), devices: z.int() }),
  ),
  'schema.configure': kind(
    'subject',
    'The compatibility level or the mode of a subject changed; null = the global one applies. The subject * stands for all.',
    z.object({ level: z.string().nullable(), mode: z.string().nullable() }),
  ),
  'schema.register': kind(
    'subject',
    'A version of a schema was registered.',
    z.object({ version: z.int(), id: z.int(), type: z.string() }),
  ),
  'schema.remove': kind(
    'subject',
    'Versions of a schema were deleted. Unless `permanent`, they can still be read by id.',
    z.object({ versions: z.array(z.int()), permanent: z.boolean() }),
  ),
  'session.begin': kind(
    'token id',
    'A browser was logged in to the dashboard with the permissions of the token.',
    z.object({ session: z.string(), method: z.string() }),
  ),
  'session.end': kind('token id', 'A browser was logged out of the dashboard.'),
  'session.link': kind('token id', 'A one-time login link was created.'),
  'session.revoke': kind(
    'token id',
    'A user ended a login, of a browser or of the command line.',
    z.object({ session: z.string(), kind: z.string() }),
  ),
  'sparkplug.apply': kind(
    'project',
    'The Sparkplug edge node was created, changed or removed; `broker` contains no credentials.',
    z.object({ change: z.string(), broker: z.string().nullable() }),
  ),
  'token.create': kind('token', 'A token was created.'),
  'token.revoke': kind('token', 'A token was revoked.'),
  'token.rotate': kind(
    'token',
    'A token was replaced by another one.',
    z.object({ next: z.string(), ends: z.int() }),
  ),
  'trust.key': kind('key', 'The platform created another timestamp key.'),
  'trust.root': kind(
    'trust',
    'A trust root was set.',
    z.object({
      version: z.int(),
      root: z.array(z.string()),
      keys: z.array(z.string()),
      expires: z.int(),
    }),
  ),
  'trust.set': kind(
    'trust',
    'The keys that may sign releases were set.',
    z.object({ version: z.int(), keys: z.array(z.string()) }),
  ),
  'user.add': kind('user', 'A user was added.', z.object({ role: z.string() })),
  'user.disable': kind(
    'user',
    'The user was disabled; their tokens are invalid until the user is enabled again.',
  ),
  'user.enable': kind('user', 'The user was enabled; their tokens are valid again.'),
  'user.remove': kind(
    'user',
    'The user was removed, and their tokens were revoked.',
    z.object({ tokensRevoked: z.int() }),
  ),
  'user.role': kind(
    'user',
    "The user's role changed with their groups at the login provider.",
    z.object({ role: z.string() }),
  ),
  'user.update': kind(
    'user',
    "An operator changed the user's role or devices. The rights of the user's tokens follow.",
    z.object({
      role: z.string(),
      selector: z.string().nullable(),
      before: z.object({ role: z.string(), selector: z.string().nullable() }),
    }),
  ),
  'webhook.add': kind(
    'webhook',
    'A webhook was added.',
    z.object({ url: z.string(), types: z.array(z.string()) }),
  ),
  'webhook.disable': kind(
    'webhook',
    'The webhook failed for too long, or its target is gone. No more events are sent to it.',
    z.object({ url: z.string(), reason: z.string() }),
  ),
  'webhook.remove': kind('webhook', 'The webhook was removed.', z.object({ url: z.string() })),
  'webhook.rotate': kind('webhook', 'The webhook received a new secret.', z.object({ url: z.string() })),
  'webhook.test': kind('webhook', 'A test event, sent only to this webhook.', z.object({ url: z.string() })),
  'webhook.update': kind(
    'webhook',
    'The webhook was changed, or enabled again.',
    z.object({ url: z.string() }),
  ),
} as const satisfies Record<string, EventKind>;

/** Type of an event, such as `device.provision`. */
export type EventType = keyof typeof eventTypes;
