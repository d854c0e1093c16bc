import * as z from 'zod';
import { macSchema, name, provisionReplySchema, selectorSchema, time } from '../fields.js';
import { pageQuerySchema, pageSchema } from '../page.js';
import { groupName, mostTags, tagName, tagValue } from './devices.js';
import { endpoint } from './endpoint.js';

/** Name of a batch. Together with a serial number, it makes a device's name. */
export const batchName = z
  .string()
  .regex(
    /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,29}[A-Za-z0-9])?$/,
    'expected letters, digits, dot, dash or underscore, at most 31',
  );

/** Serial number of a device, such as the MAC address without colons. */
export const serialSchema = z
  .string()
  .regex(
    /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,30}[A-Za-z0-9])?$/,
    'expected letters, digits, dot, dash or underscore, at most 32',
  );

/** Pattern of serial numbers: `*` matches any characters, and `?` matches one. */
export const serialPattern = z
  .string()
  .regex(
    /^[A-Za-z0-9._*?-]{1,64}$/,
    'expected a serial number in which * matches any characters and ? matches one',
  );

/** Largest number of devices in a batch, and of serial numbers that it expects. */
export const mostInBatch = 100_000;
/** Validity of a batch's key: a minute to ten years. */
export const batchLifetimeMs = { min: 60_000, max: 3650 * 86_400_000, usual: 90 * 86_400_000 };

/** POST /batches: devices that connect for the first time with the key of this batch. */
export const batchRequestSchema = z.strictObject({
  name: batchName,
  /** Type of the devices, which determines the models and the firmware that they accept. */
  type: name,
  /** Maximum number of devices that wait or have been approved. */
  size: z.int().min(1).max(mostInBatch).default(100),
  validMs: z.int().min(batchLifetimeMs.min).max(batchLifetimeMs.max).default(batchLifetimeMs.usual),
  /** Tags and groups of approved devices. */
  tags: z.record(tagName, tagValue).default({}),
  groups: z.array(groupName).max(mostTags).default([]),
  /** Devices whose serial number matches are approved automatically. */
  pattern: serialPattern.optional(),
  /** Devices with these serial numbers are approved automatically. */
  serials: z.array(serialSchema).max(mostInBatch).default([]),
});
export type BatchRequest = z.input<typeof batchRequestSchema>;

export const batchStates = ['open', 'expired', 'revoked'] as const;

export const batchSchema = z.object({
  name: batchName,
  type: name,
  /** An expired batch accepts no new devices; a revoked one issues no certificates. */
  state: z.enum(batchStates),
  size: z.int(),
  created: time,
  expires: time,
  /** User who created the batch. */
  who: z.string(),
  tags: z.record(z.string(), z.string()),
  groups: z.array(z.string()),
  pattern: z.string().nullable(),
  /** Number of serial numbers that the batch expects. */
  expected: z.int(),
  /** Number of devices in each state. */
  devices: z.object({ waiting: z.int(), approved: z.int(), issued: z.int(), rejected: z.int() }),
});
export type Batch = z.output<typeof batchSchema>;

export const madeBatchSchema = z.object({
  batch: batchSchema,
  /** Key for the factory image; this is the only response that contains it. */
  key: z.string(),
});
export type MadeBatch = z.output<typeof madeBatchSchema>;

/** `waiting`: for a decision. `approved`: for the device, which has not fetched its certificate. `issued`: it has its certificate. */
export const enrollmentStates = ['waiting', 'approved', 'issued', 'rejected'] as const;
export type EnrollmentState = (typeof enrollmentStates)[number];

/** A device that has connected with the key of a batch. */
export const enrollmentSchema = z.object({
  /** Name that the device gets or has: the batch and the serial number. */
  name,
  batch: batchName,
  serial: z.string(),
  mac: z.string().nullable(),
  type: z.string(),
  state: z.enum(enrollmentStates),
  /** SHA-256 of the device's public key (SPKI DER), 64 hex digits. */
  key: z.string(),
  /** Address of the first request. */
  address: z.string(),
  /** When the device first asked, and last asked. */
  created: time,
  seen: time,
  /** Whether the batch expects the serial number; null if the batch has no rule. */
  expected: z.boolean().nullable(),
  /** User or batch that approved or rejected the device; null = none yet. */
  who: z.string().nullable(),
  decided: time.nullable(),
  note: z.string().nullable(),
  /** Reason for not trusting the device: a contradiction with other devices; null = none. */
  problem: z.string().nullable(),
  /** Number of rejected requests that contradicted this device. */
  conflicts: z.int(),
});
export type Enrollment = z.output<typeof enrollmentSchema>;

/** GET /enrollments → {enrollments, next}, by name. */
export const enrollmentListQuerySchema = pageQuerySchema.extend({
  state: z.enum(enrollmentStates).optional(),
  batch: batchName.optional(),
  selector: selectorSchema.optional(),
});
export type EnrollmentListQuery = z.output<typeof enrollmentListQuerySchema>;
export const enrollmentListSchema = pageSchema('enrollments', enrollmentSchema);
export type EnrollmentList = z.output<typeof enrollmentListSchema>;

/** Maximum number of devices decided on in one request. */
export const mostDecided = 100;
export const decisionRequestSchema = z.strictObject({
  action: z.enum(['approve', 'reject']),
  names: z.array(name).min(1).max(mostDecided),
  note: tagValue.optional(),
});
export type DecisionRequest = z.input<typeof decisionRequestSchema>;
export const decidedSchema = z.object({
  name,
  outcome: z.enum(['changed', 'same', 'refused']),
  /** Current state; null if no device with the name has asked. */
  state: z.enum(enrollmentStates).nullable(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
});
export type Decided = z.output<typeof decidedSchema>;

/** POST /enrollments, by a device with the key of its batch. */
export const enrollRequestSchema = z.strictObject({
  key: z.string().max(200),
  csr: z.string().max(8192),
  serial: serialSchema,
  mac: macSchema.optional(),
});
export const enrollReplySchema = z.object({
  state: z.enum(['waiting', 'issued']),
  /** Name that the device gets or has. */
  name,
  /** When to send the same request again, ms from now; null = never. */
  retryMs: z.int().nullable(),
  /** The device's identity; null while it waits. */
  identity: provisionReplySchema.nullable(),
});
export type EnrollReply = z.output<typeof enrollReplySchema>;

export const batches = {
  create: endpoint('POST /batches', {
    summary: 'Create a batch, whose key is part of the factory image of its devices',
    body: batchRequestSchema,
    result: madeBatchSchema,
    largestBody: 8 * 1024 ** 2,
    location: ({ batch }) => ['batches', batch.name],
    errors: ['AIOT_ALREADY_EXISTS'],
  }),
  list: endpoint('GET /batches', {
    summary: 'Batches of devices, by name',
    query: pageQuerySchema,
    result: pageSchema('batches', batchSchema),
    list: 'batches',
  }),
  get: endpoint('GET /batches/:name', { summary: 'One batch', result: batchSchema }),
  revoke: endpoint('DELETE /batches/:name', {
    summary: 'Revoke the key of a batch; its approved devices keep their certificates',
    result: batchSchema,
  }),
};

/** Devices that connect for the first time with the key of a batch. */
export const enrollments = {
  list: endpoint('GET /enrollments', {
    summary: 'Devices that asked for a certificate with the key of a batch, by name',
    query: enrollmentListQuerySchema,
    result: enrollmentListSchema,
    errors: ['AIOT_SELECTOR_INVALID'],
  }),
  decide: endpoint('POST /enrollments/decisions', {
    summary: 'Approve or reject devices that wait',
    body: decisionRequestSchema,
    result: z.object({ devices: z.array(decidedSchema) }),
    list: 'devices',
  }),
  /** Requires no operator, because the key is sufficient to wait. A repeated request returns the same certificate. */
  enroll: endpoint('POST /enrollments', {
    summary: 'Ask for a certificate with the key of a batch; repeat the request while the device waits',
    access: 'everybody',
    body: enrollRequestSchema,
    result: enrollReplySchema,
    errors: ['AIOT_BATCH_INVALID', 'AIOT_CSR_INVALID', 'AIOT_ENROLLMENT_REFUSED', 'AIOT_RATE_LIMITED'],
  }),
};
