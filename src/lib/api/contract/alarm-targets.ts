import * as z from 'zod';
import { name, time } from '../fields.js';
import { pageSchema } from '../page.js';
import { type AlarmsApplied, alarmsAppliedSchema, severities } from './alarms.js';
import { endpoint } from './endpoint.js';

/** Longest delay and longest interval of a target, ms. */
const mostMs = 7 * 86_400_000;

/**
 * POST /alarm-targets: incidents of alarms are sent to this address when they begin and when they end. `$AIOT_NOTIFY_…` in the URL stands
 * for a variable of the platform's environment.
 */
export const newAlarmTargetSchema = z.strictObject({
  name,
  /** smtp, smtps, ntfy, ntfys, telegram, pagerduty, mqtt, mqtts, kafka, kafkas, nats or natss. */
  url: z.string().min(1).max(2000),
  /** The least severe alarms that are sent. */
  severity: z.enum(severities).default('info'),
  /** Names of the alarms that are sent; empty = all. */
  alarms: z.array(name).max(100).default([]),
  /** Escalation: sends only incidents that are open and unacknowledged after this time. */
  afterMs: z.int().min(0).max(mostMs).default(0),
  /** At most one message per alarm is sent within this time; it lists the incidents since the previous one. */
  groupMs: z.int().min(0).max(mostMs).default(60_000),
  /** Whether the target may be on this machine or on a private network, and may be used without TLS. */
  allowPrivate: z.boolean().default(false),
  /** Project whose aiot.yaml defines the target; absent = `aiot alarm target add`. */
  project: name.optional(),
});
export type NewAlarmTarget = z.input<typeof newAlarmTargetSchema>;
export type AlarmTargetDefinition = z.output<typeof newAlarmTargetSchema>;

/** GET /alarm-targets. `url` has no credentials. */
export const alarmTargetSchema = z.object({
  ...newAlarmTargetSchema.shape,
  created: time,
  by: z.string(),
  /** Number of incidents that are yet to be sent. */
  pending: z.int(),
  /** When a message was last delivered. */
  delivered: time.nullable(),
  /** Number of consecutive failed attempts, the last error, and the time of the next attempt. */
  failures: z.int(),
  error: z.string().nullable(),
  retryAt: time.nullable(),
});
export type AlarmTarget = z.output<typeof alarmTargetSchema>;
export const alarmTargetsSchema = pageSchema('targets', alarmTargetSchema);

/** POST /alarm-targets/{name}/test: the result of one attempt to deliver a test message. */
export const alarmTargetTestSchema = z.object({
  name: z.string(),
  delivered: z.boolean(),
  ms: z.number(),
  error: z.string().nullable(),
});
export type AlarmTargetTest = z.output<typeof alarmTargetTestSchema>;

export const mostAlarmTargets = 100;

/**
 * PUT /alarm-targets: replaces the targets of one project with this list. Takes over targets of the same name that belong to no project. A
 * target of another project with the same name is an error.
 */
const applyAlarmTargetsSchema = z.strictObject({
  project: name,
  targets: z.array(newAlarmTargetSchema).max(mostAlarmTargets),
  dryRun: z.boolean().default(false),
});
export type ApplyAlarmTargets = z.input<typeof applyAlarmTargetsSchema>;

/** Changes to a project's alarms and to their targets. */
export const projectAlarmsAppliedSchema = alarmsAppliedSchema.extend({
  targets: alarmsAppliedSchema.omit({ project: true, dryRun: true }),
});
export type ProjectAlarmsApplied = z.output<typeof projectAlarmsAppliedSchema>;

/** Combines the changes to alarms and to targets. */
export function withTargets(
  alarms: AlarmsApplied,
  { created, changed, removed, unchanged }: AlarmsApplied,
): ProjectAlarmsApplied {
  return { ...alarms, targets: { created, changed, removed, unchanged } };
}

const params = z.object({ name: z.string().max(100) });
/** Only operators may call these endpoints, because an address may contain a third party's secret. */
const access = 'operator';

export const alarmTargets = {
  list: endpoint('GET /alarm-targets', {
    summary: 'Addresses to which alarm incidents are sent, with delivery status',
    access,
    result: alarmTargetsSchema,
    list: 'targets',
  }),
  add: endpoint('POST /alarm-targets', {
    summary: 'Send the incidents of alarms to an address',
    access,
    body: newAlarmTargetSchema,
    result: alarmTargetSchema,
    errors: ['AIOT_ALREADY_EXISTS', 'AIOT_ALARM_TARGET'],
  }),
  apply: endpoint('PUT /alarm-targets', {
    summary: "Create, change and remove targets so that they match a project's",
    description:
      'Unsent messages for a changed target are sent to its new address. Unsent messages for a removed target are discarded.',
    access,
    body: applyAlarmTargetsSchema,
    result: alarmsAppliedSchema,
    errors: ['AIOT_ALREADY_EXISTS', 'AIOT_ALARM_TARGET'],
  }),
  test: endpoint('POST /alarm-targets/:name/test', {
    summary: 'Send a test message now',
    access,
    params,
    result: alarmTargetTestSchema,
  }),
  remove: endpoint('DELETE /alarm-targets/:name', {
    summary: 'Remove an address; it receives no more incidents',
    access,
    params,
    result: alarmTargetSchema,
  }),
};
