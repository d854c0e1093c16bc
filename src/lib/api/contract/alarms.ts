import * as z from 'zod';
import { appliedSchema, name, selectorSchema, time } from '../fields.js';
import { pageQuerySchema, pageSchema } from '../page.js';
import { isZone } from '../rollouts/schema.js';
import { endpoint } from './endpoint.js';

/** From the least to the most severe. */
export const severities = ['info', 'warning', 'critical'] as const;
export type Severity = (typeof severities)[number];

const expression = z.string().trim().min(1).max(2000);

/** Longest duration in an alarm's definition, and longest window of `rate` and `class`, ms. */
export const [longestAlarmMs, longestWindowMs] = [90 * 86_400_000, 7 * 86_400_000] as const;

const ms = z.int().min(0).max(longestAlarmMs);

/** A weekly maintenance window; without a time zone, it is in UTC. */
const maintenanceSchema = z
  .string()
  .max(100)
  .regex(
    /^(daily|(mon|tue|wed|thu|fri|sat|sun)(,(mon|tue|wed|thu|fri|sat|sun)){0,6}) ([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d( [\w+/-]{1,64})?$/,
    'expected days and times, such as "sat,sun 02:00-04:00" or "daily 22:00-02:00 Europe/Berlin"',
  )
  .refine((text) => isZone(text.split(' ')[2] ?? 'UTC'), 'expected a time zone such as Europe/Berlin');

/**
 * POST /alarms: raises an incident for each device on which the condition holds. With `where`, the condition is an expression, as in
 * routes, that is evaluated on each telemetry sample. With `rate`, `class`, `offline` or `unwell`, it is evaluated on values of a period,
 * of the fleet or of a device's health. With `absentMs`, the condition is that a device that has sent telemetry stops sending.
 */
export const newAlarmSchema = z
  .strictObject({
    name,
    where: expression.optional(),
    absentMs: ms.min(1000).optional(),
    /** Field whose change is evaluated: `change` within the window, and `rate`, the change per second. */
    rate: z.string().min(1).max(100).optional(),
    /** Class whose predictions are counted within the window: `share` (0 to 1), `count` and `total`. */
    class: z.string().min(1).max(100).optional(),
    /** Evaluates how many of the selected devices are offline: `share` (0 to 1), `offline`, `total` and `devices`. */
    offline: z.literal(true).optional(),
    /** Evaluates the health of unwell devices: `state`, `causes` (codes, the most urgent first) and `message`. */
    unwell: z.literal(true).optional(),
    /** Length of the window of `rate` or `class`. */
    withinMs: ms.min(1000).max(longestWindowMs).optional(),
    /** How long the condition must hold, according to the samples' times. */
    forMs: ms.default(0),
    /** Expression that ends an incident; absent = as soon as `where` does not hold. */
    clear: expression.optional(),
    /** How long `clear` must hold. */
    clearForMs: ms.default(0),
    /** Stream of the telemetry; absent = every stream. */
    stream: name.optional(),
    selector: z.string().max(4000).default('all'),
    severity: z.enum(severities).default('warning'),
    /** Next step for the operator, included in each incident. */
    todo: z.string().trim().min(1).max(500).optional(),
    /** Times without notifications, such as `sat,sun 02:00-04:00` (in UTC) or `daily 22:00-02:00 Europe/Berlin`. */
    maintenance: z.array(maintenanceSchema).max(20).optional(),
    /** Project whose aiot.yaml defines the alarm; absent = `aiot alarm create`. */
    project: name.optional(),
  })
  .refine(
    ({ where, absentMs }) => (where === undefined) !== (absentMs === undefined),
    'expected either a condition (where) or an absence (absent)',
  )
  .refine(
    ({ absentMs, clear, forMs }) => absentMs === undefined || (clear === undefined && forMs === 0),
    'for and clear need a condition (where)',
  )
  .refine(
    ({ absentMs, rate, class: label, offline, unwell }) =>
      [absentMs, rate, label, offline, unwell].filter((each) => each !== undefined).length <= 1,
    'expected only one of absence, rate, class, offline and unwell',
  )
  .refine(
    ({ rate, class: label, withinMs }) =>
      (rate !== undefined || label !== undefined) === (withinMs !== undefined),
    'expected a window (within) with rate and class, and only there',
  )
  .refine(
    ({ class: label, offline, unwell, stream }) =>
      stream === undefined || [label, offline, unwell].every((each) => each === undefined),
    'expected no stream with class, offline or unwell',
  );
export type NewAlarm = z.input<typeof newAlarmSchema>;
export type AlarmDefinition = z.output<typeof newAlarmSchema>;

const decision = z.object({ who: z.string(), at: time, note: z.string().nullable() });

/** A sample that led to an incident: its time, and its fields. */
export const alarmSampleSchema = z.object({ t: time, values: z.record(z.string(), z.unknown()) });
export type AlarmSample = z.output<typeof alarmSampleSchema>;

/** A period in which an alarm's condition held on one device. */
export const incidentSchema = z.object({
  id: z.string(),
  alarm: z.string(),
  device: z.string(),
  /** When the condition began to hold, when the incident was raised, and when it ended; null = it continues. */
  since: time,
  raised: time,
  cleared: time.nullable(),
  /** Whether the event `alarm.raise` was recorded; false while the alarm is silenced. */
  notified: z.boolean(),
  message: z.string(),
  /** The last samples before the incident was raised, oldest first. */
  samples: z.array(alarmSampleSchema),
  acknowledged: decision.nullable(),
});
export type Incident = z.output<typeof incidentSchema>;

/** Samples on which an alarm's expressions could not be evaluated, and the time of the first one. */
export const alarmFailureSchema = z.object({
  count: z.int(),
  since: time,
  /** The newest of these samples: its arrival time, its device and the error. */
  at: time,
  device: z.string(),
  error: z.string(),
});
export type AlarmFailure = z.output<typeof alarmFailureSchema>;

export const alarmSchema = z.object({
  ...newAlarmSchema.shape,
  created: time,
  /** The user who created the alarm or last changed its definition. */
  by: z.string(),
  /** No notification is sent until this time; null = the alarm is not silenced. */
  silencedUntil: time.nullable(),
  /** Number of open incidents, and number of those that are not acknowledged. */
  open: z.int(),
  unacknowledged: z.int(),
  /** Null = the expressions could be evaluated on all samples of the last 10 minutes. */
  failing: alarmFailureSchema.nullable(),
});
export type Alarm = z.output<typeof alarmSchema>;
export const alarmsSchema = pageSchema('alarms', alarmSchema);

/** GET /alarms/{name} */
export const alarmShownSchema = z.object({
  alarm: alarmSchema,
  /** The newest incidents, newest first. */
  incidents: z.array(incidentSchema),
});
export type AlarmShown = z.output<typeof alarmShownSchema>;

/** POST /alarms/{name}/acknowledge: the alarm, and the number of incidents that were not acknowledged before. */
export const alarmAcknowledgedSchema = alarmShownSchema.extend({ acknowledged: z.int() });
export type AlarmAcknowledged = z.output<typeof alarmAcknowledgedSchema>;

/** POST /alarms/{name}/test: the incidents that recorded telemetry would have raised. */
export const alarmTestSchema = z.object({
  alarm: z.string(),
  from: time,
  /** Number of recorded messages and of samples that were examined. */
  messages: z.int(),
  samples: z.int(),
  /** Number of incidents. `fired` contains the newest of them, sorted by time. */
  total: z.int(),
  /** Whether there was more telemetry than a test examines, or the test ended early. */
  truncated: z.boolean(),
  fired: z.array(
    z.object({ device: z.string(), raised: time, cleared: time.nullable(), message: z.string() }),
  ),
});
export type AlarmTest = z.output<typeof alarmTestSchema>;

export const mostAlarms = 200;

/**
 * PUT /alarms: replaces the platform's alarms of one project with this list. Takes over alarms of the same name that belong to no project.
 * An alarm of another project with the same name is an error.
 */
const applyAlarmsSchema = z.strictObject({
  project: name,
  alarms: z.array(newAlarmSchema).max(mostAlarms),
  dryRun: z.boolean().default(false),
});
export type ApplyAlarms = z.input<typeof applyAlarmsSchema>;

/** Names of the alarms (or of their targets) that were created, changed, removed or left unchanged. With `dryRun`, the planned outcome. */
export const alarmsAppliedSchema = appliedSchema;
export type AlarmsApplied = z.output<typeof alarmsAppliedSchema>;

const params = z.object({ name: z.string().max(100) });
const note = z.string().trim().min(1).max(500).optional();

export const alarms = {
  list: endpoint('GET /alarms', {
    reach: 'filtered',
    summary: 'Alarms with the number of open incidents',
    query: pageQuerySchema,
    result: alarmsSchema,
    list: 'alarms',
  }),
  get: endpoint('GET /alarms/:name', {
    reach: 'filtered',
    summary: 'One alarm with its newest incidents',
    params,
    result: alarmShownSchema,
  }),
  create: endpoint('POST /alarms', {
    summary: 'Create an alarm for future telemetry',
    body: newAlarmSchema,
    result: alarmSchema,
    location: (alarm) => ['alarms', alarm.name],
    errors: ['AIOT_ALREADY_EXISTS', 'AIOT_SELECTOR_INVALID', 'AIOT_STREAM_EXPRESSION'],
  }),
  apply: endpoint('PUT /alarms', {
    summary: "Create, change and remove alarms so that they match a project's",
    description:
      'A changed alarm starts over with the next message, and its open incidents end. Removing an alarm also removes its incidents.',
    body: applyAlarmsSchema,
    result: alarmsAppliedSchema,
    errors: ['AIOT_ALREADY_EXISTS', 'AIOT_SELECTOR_INVALID', 'AIOT_STREAM_EXPRESSION'],
  }),
  /** The alarm keeps its project. */
  replace: endpoint('PUT /alarms/:name', {
    summary: "Replace an alarm's definition",
    description: 'The alarm starts over with the next message, and its open incidents end.',
    params,
    body: newAlarmSchema,
    result: alarmSchema,
    errors: ['AIOT_SELECTOR_INVALID', 'AIOT_STREAM_EXPRESSION'],
  }),
  /** Acknowledges the open incidents, of some devices or of all. */
  acknowledge: endpoint('POST /alarms/:name/acknowledge', {
    reach: 'filtered',
    summary: "Acknowledge an alarm's open incidents",
    params,
    body: z.strictObject({ selector: selectorSchema.optional(), note }),
    result: alarmAcknowledgedSchema,
    errors: ['AIOT_SELECTOR_INVALID'],
  }),
  silence: endpoint('POST /alarms/:name/silence', {
    summary: "Silence an alarm's notifications for a while; 0 ends the silence",
    params,
    body: z.strictObject({ forMs: ms, note }),
    result: alarmSchema,
  }),
  test: endpoint('POST /alarms/:name/test', {
    summary: 'Replay recorded telemetry, to find when an alarm would have fired',
    params,
    body: z.strictObject({ sinceMs: ms }),
    result: alarmTestSchema,
  }),
  remove: endpoint('DELETE /alarms/:name', {
    summary: 'Remove an alarm and its incidents',
    params,
    result: alarmSchema,
  }),
};
