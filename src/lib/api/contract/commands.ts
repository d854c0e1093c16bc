import * as z from 'zod';
import { appliedSchema, name } from '../fields.js';
import { roles } from './access.js';
import { endpoint } from './endpoint.js';

/** Largest parameters and largest reply of a command, bytes of JSON. A chip's MQTT client receives messages of up to 4096 bytes. */
export const mostParamsBytes = 2048;
export const mostReplyBytes = 16_384;
/** Shortest, default and longest time that a command waits for its reply, ms. */
export const commandTimeoutMs = { min: 1000, usual: 10_000, max: 300_000 };
/** Largest JSON Schema of a command, bytes. */
const mostSchemaBytes = 8192;
/** Maximum number of commands in one project. */
export const mostCommands = 500;

/** The name of a command of protocol v1, or of a command in an aiot.yaml. */
export const commandName = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,46}$/, 'expected lowercase letters, digits and dashes, at most 47');

/** A JSON Schema (draft 2020-12) of an object. */
const objectSchema = z
  .record(z.string(), z.unknown())
  .refine((schema) => schema.type === 'object', 'expected a JSON Schema with type: object')
  .refine(
    (schema) => JSON.stringify(schema).length <= mostSchemaBytes,
    `expected at most ${mostSchemaBytes} bytes`,
  );

const parameters = z.record(z.string().max(100), z.unknown());

/** A command that devices of one type support. */
export const newCommandSchema = z.strictObject({
  /** Type of the devices. */
  type: name,
  name: commandName,
  summary: z.string().trim().min(1).max(200).optional(),
  /** JSON Schema of the parameters; absent = the command has none. */
  params: objectSchema.optional(),
  /** JSON Schema of the reply; absent = any object. */
  reply: objectSchema.optional(),
  timeoutMs: z.int().min(commandTimeoutMs.min).max(commandTimeoutMs.max).default(commandTimeoutMs.usual),
  /** Least role that may call the command. */
  role: z.enum(roles).default('operator'),
  /** Whether a device that restarts before its reply may run the command again. */
  repeatable: z.boolean().default(false),
});
export type NewCommand = z.input<typeof newCommandSchema>;
export type CommandDefinition = z.output<typeof newCommandSchema>;

export const commandInfoSchema = z.object({
  ...newCommandSchema.shape,
  /** Project whose aiot.yaml defines the command; null = a command of protocol v1, which devices of every type support. */
  project: z.string().nullable(),
});
export type CommandInfo = z.output<typeof commandInfoSchema>;
export const commandsSchema = z.object({ commands: z.array(commandInfoSchema) });

/** PUT /commands: replaces the platform's commands of one project with this list. A command of another project is an error. */
const applyCommandsSchema = z.strictObject({
  project: name,
  commands: z.array(newCommandSchema).max(mostCommands),
  dryRun: z.boolean().default(false),
});
export type ApplyCommands = z.input<typeof applyCommandsSchema>;

/** The commands, as TYPE/NAME, that were created, changed, removed or left unchanged. With `dryRun`, the planned outcome. */
export const commandsAppliedSchema = appliedSchema;
export type CommandsApplied = z.output<typeof commandsAppliedSchema>;

/** POST /devices/{name}/commands: a call of a command. */
export const deviceCallSchema = z.strictObject({
  command: z.string().min(1).max(64),
  params: parameters.optional(),
  /** Maximum time until the reply, ms; absent = the command's default. */
  timeoutMs: z.int().min(commandTimeoutMs.min).max(commandTimeoutMs.max).optional(),
  /** Whether an offline device is an error, or the command waits until the device is online, at most until its timeout. */
  offline: z.enum(['reject', 'wait']).default('reject'),
});
export type DeviceCall = z.input<typeof deviceCallSchema>;

export const deviceReplySchema = z.object({
  device: z.string(),
  command: z.string(),
  /** Result that the device returned. */
  result: z.unknown().optional(),
  /** Time from the command to its response, ms. */
  ms: z.number(),
});
export type DeviceReply = z.output<typeof deviceReplySchema>;

export const commands = {
  list: endpoint('GET /commands', {
    reach: 'shared',
    summary: 'Commands that projects define for device types',
    result: commandsSchema,
    list: 'commands',
  }),
  /** Commands of one device: those of protocol v1, and those of its type. */
  of: endpoint('GET /devices/:name/commands', {
    reach: 'named',
    summary: "A device's commands, with the JSON Schemas of their parameters and replies",
    result: commandsSchema,
    list: 'commands',
  }),
  apply: endpoint('PUT /commands', {
    summary: "Create, change and remove commands so that they match a project's",
    body: applyCommandsSchema,
    result: commandsAppliedSchema,
    errors: ['AIOT_ALREADY_EXISTS', 'AIOT_COMMAND_SCHEMA'],
  }),
  call: endpoint('POST /devices/:name/commands', {
    reach: 'named',
    summary: 'Send a command to a device, and wait for its reply',
    description:
      'With an Idempotency-Key, the device runs the command once, however often the request is repeated. A repeat while the call is in progress, or after the platform restarts, waits for the same reply. Each command has its own minimum role.',
    access: 'viewer',
    ownRepeats: true,
    body: deviceCallSchema,
    result: deviceReplySchema,
    errors: [
      'AIOT_DEVICE_OFFLINE',
      'AIOT_COMMAND_UNKNOWN',
      'AIOT_COMMAND_PARAMS',
      'AIOT_COMMAND_REPLY',
      'AIOT_COMMAND_FAILED',
      'AIOT_COMMAND_UNANSWERED',
      'AIOT_IDEMPOTENCY_REUSED',
    ],
  }),
};
