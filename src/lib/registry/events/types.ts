import { type ZodObject, type ZodRawShape, z } from 'zod';
import { lostSchema } from '../damage.js';
import { releaseSchema } from '../rollouts/schema.js';

/** One kind of event: what it says, what its subject is, and what its data holds. */
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

/**
 * Every kind of event, by its type: the noun, and what was done. Data may have more members than are named here; those that are
 * named stay as they are.
 */
export const eventTypes = {
  'backup.create': kind('platform', 'A backup was begun.', z.object({ created: z.int() })),
  'claim.make': kind(
    'device',
    'A one-time token for a first certificate was made.',
    z.object({ expires: z.int() }),
  ),
  'config.push': kind('name@version', 'A signed version of a configuration of devices was stored.', pushed),
  'config.sign': kind('name@version', 'A version of a configuration was signed anew.', pushed),
  'damage.acknowledge': kind(
    'part',
    'An operator knows of damage that was found: status does not warn of it any more.',
    z.object({ ids: z.array(z.string()) }),
  ),
  'damage.find': kind(
    'part',
    'Damage at rest was found: `rows` of telemetry are lost. The first 50 places are listed, with stream, device and time range where they are known.',
    z.object({
      findings: z.int(),
      rows: z.int(),
      places: z.array(z.object({ place: z.string(), problem: z.string(), lost: lostSchema.optional() })),
    }),
  ),
  'damage.repair': kind('part', 'Damage that was found is repaired.', z.object({ ids: z.array(z.string()) })),
  'data.label': kind(
    'stream/device/recording',
    'Somebody said what was recorded, in all of it or between two times; null took that back.',
    z.object({ label: z.string().nullable(), from: z.number().optional(), to: z.number().optional() }),
  ),
  'data.remove': kind(
    'stream/device/recording',
    'A recording was removed, by hand or because its time was up.',
    z.object({ samples: z.int(), bytes: z.int() }),
  ),
  'data.retention': kind(
    'stream',
    'Somebody said how long its recordings are kept; null: for ever.',
    z.object({ days: z.number().nullable(), bytes: z.int().nullable(), labelled: z.boolean() }),
  ),
  'dataset.create': kind('stream', 'The first telemetry of a stream was stored.'),
  'device.activate': kind('device', 'It was seen for the first time.'),
  'device.birth': kind(
    'device',
    'A signed birth certificate was stored.',
    z.object({ fingerprint, mac: z.string().nullable() }),
  ),
  'device.claim': kind('device', 'It got its first certificate for a token.', z.object({ fingerprint })),
  'device.connect': kind('device', 'It has a connection to the broker.'),
  'device.desire': kind(
    'device',
    'What it is to run was set, or taken back (null).',
    z.object({ desired: z.unknown() }),
  ),
  'device.disconnect': kind('device', 'Its last connection to the broker has ended.'),
  'device.group': kind(
    'device',
    'Its groups were changed.',
    z.object({ add: z.array(z.string()), remove: z.array(z.string()) }),
  ),
  'device.provision': kind('device', 'It was registered with a certificate.', z.object({ fingerprint })),
  'device.register': kind(
    'device',
    'It was registered, and has no certificate yet.',
    z.object({ type: z.string() }),
  ),
  'device.remove': kind(
    'device',
    'It was removed, with all that was known of it.',
    z.object({ id: z.string(), type: z.string() }),
  ),
  'device.replace': kind(
    'device',
    'Another board took its place.',
    z.object({ fingerprint, before: z.string(), id: z.string() }),
  ),
  'device.report': kind(
    'device',
    'What it reports has changed: the model or firmware that runs, the step of an update, its error. Progress within a step is no event.',
    z.object({
      state: z.string(),
      rollout: z.string().nullable(),
      model: z.object({ name: z.string(), version: z.int(), sequence: z.int() }).nullable(),
      error: told,
      firmware: z.string().nullable(),
      config: z.object({ name: z.string(), version: z.int(), sequence: z.int() }).nullable().optional(),
    }),
  ),
  'device.resume': kind('device', 'A suspended device may connect again.'),
  'device.revoke': kind('device', 'Its access was taken back for good.'),
  'device.rotate': kind(
    'device',
    'It was given its next certificate.',
    z.object({ fingerprint, before: fingerprint.nullable(), now: z.boolean() }),
  ),
  'device.secret': kind('device', 'It was given a secret for connections without a certificate.'),
  'device.secret-removed': kind('device', 'Its secret was taken back.'),
  'device.settle': kind(
    'device',
    'The next certificate took the place of the one before.',
    z.object({ fingerprint, before: fingerprint.nullable() }),
  ),
  'device.suspend': kind('device', 'It may not connect until it is resumed.'),
  'device.tag': kind(
    'device',
    'Its tags were changed.',
    z.object({ set: z.record(z.string(), z.string()), remove: z.array(z.string()) }),
  ),
  'events.prune': kind(
    'events',
    'Old events were deleted: those up to this id are gone.',
    z.object({ upTo: z.int(), events: z.int() }),
  ),
  'firmware.push': kind('name@version', 'A signed version of a firmware was stored.', pushed),
  'firmware.sign': kind('name@version', 'A version of a firmware was signed anew.', pushed),
  'job.cancel': kind('job', 'Somebody wants it to end.', job),
  'job.create': kind('job', 'It waits for its turn.', job),
  'job.end': kind(
    'job',
    'It is done, has failed, or was cancelled.',
    job.extend({ state: z.string(), error: told }),
  ),
  'job.start': kind('job', 'It runs.', job),
  'model.demote': kind('name@version', 'It went down a stage.', moved),
  'model.deploy': kind(
    'name@version',
    'A rollout of it was started.',
    z.object({ rollout: z.string(), selector: z.string(), devices: z.int() }),
  ),
  'model.promote': kind('name@version', 'It went up a stage.', moved),
  'model.push': kind('name@version', 'A signed version of a model was stored.', pushed),
  'model.remove': kind('name@version', 'It was removed for good.', z.object({ digest: z.string() })),
  'model.sign': kind('name@version', 'A version that is there was signed anew.', pushed),
  'model.upload': kind(
    'name@version',
    'A model that nobody signed came in by a door for other clients.',
    z.object({ file: z.string(), digest: z.string() }),
  ),
  'pipeline.end': kind(
    'project',
    'A run of its pipeline is over.',
    z.object({ run: z.string(), state: z.string() }),
  ),
  'pipeline.start': kind('project', 'A run of its pipeline was begun.', z.object({ run: z.string() })),
  'pipeline.step': kind(
    'project',
    'A step of a run came to another state.',
    z.object({ run: z.string(), step: z.string(), state: z.string() }),
  ),
  'platform.start': kind(
    'platform',
    'A process of the platform has started: nothing is connected to it.',
    z.object({ version: z.string() }),
  ),
  'rollout.change': kind(
    'rollout',
    'It was approved, begun, paused, resumed, or turned back.',
    z.object({ state: z.string(), reason: told }),
  ),
  'rollout.end': kind(
    'rollout',
    'All its devices have ended.',
    z.object({ state: z.string(), reason: told }),
  ),
  'rollout.move': kind(
    'rollout',
    'One of its devices went on.',
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
    'A version goes to devices.',
    z.object({
      releases: z.array(releaseSchema),
      selector: z.string(),
      devices: z.int(),
      /** How many are in each. */
      waves: z.array(z.int()),
    }),
  ),
  'rollout.wave': kind(
    'rollout',
    'One of its waves was opened, has settled, or was stopped.',
    z.object({ wave: z.int(), state: z.string(), devices: z.int() }),
  ),
  'session.begin': kind('token id', 'A browser was logged in to the dashboard with what the token may.'),
  'session.end': kind('token id', 'A browser was logged out of the dashboard.'),
  'session.link': kind('token id', 'A link that logs a browser in once was made.'),
  'token.create': kind('token', 'A token was made.'),
  'token.revoke': kind('token', 'A token is good no longer.'),
  'token.rotate': kind(
    'token',
    'Another token takes its place.',
    z.object({ next: z.string(), ends: z.int() }),
  ),
  'trust.key': kind('key', 'The platform has made another key for timestamps.'),
  'trust.root': kind(
    'trust',
    'A root was set: who may sign what.',
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
  'user.add': kind('user', 'Somebody may be given tokens.', z.object({ role: z.string() })),
  'user.disable': kind('user', 'None of the tokens is good until it is enabled again.'),
  'user.enable': kind('user', 'The tokens are good again.'),
  'user.remove': kind(
    'user',
    'It was removed, and its tokens revoked.',
    z.object({ tokensRevoked: z.int() }),
  ),
  'webhook.add': kind(
    'webhook',
    'A webhook was added.',
    z.object({ url: z.string(), types: z.array(z.string()) }),
  ),
  'webhook.disable': kind(
    'webhook',
    'It failed for too long, or its target says that it is gone: nothing is sent to it any more.',
    z.object({ url: z.string(), reason: z.string() }),
  ),
  'webhook.remove': kind('webhook', 'It was removed.', z.object({ url: z.string() })),
  'webhook.rotate': kind('webhook', 'It has a new secret.', z.object({ url: z.string() })),
  'webhook.test': kind(
    'webhook',
    'Somebody wants to see whether it works; sent to it alone.',
    z.object({ url: z.string() }),
  ),
  'webhook.update': kind('webhook', 'It was changed, or enabled again.', z.object({ url: z.string() })),
} as const satisfies Record<string, EventKind>;

/** Noun and what was done: `device.provision`. */
export type EventType = keyof typeof eventTypes;
