/**
 * Messages in and out: the ports Source and Sink, an adapter for each scheme of a stream's URL, and what is done with messages of
 * whatever adapter: followed, chosen, decoded, recorded, bridged, routed. Keeps no state of devices.
 */

export type { CheckResult, CreateResult, LagState, StreamAdmin, TopicSpec, TopicState } from './admin.js';
export { type Bench, benchSchema, benchStream, smallestBench } from './bench/bench.js';
export * from './bridge/index.js';
export { type CheatSheet, cheatMarkdown, cheatSheets } from './cheat/index.js';
export { type Checked, checkEndpoint, checkedSchema } from './check/check.js';
export { type Created, createdSchema, createTopics, parseCreateFile } from './create/create.js';
export { tryCredentials } from './credentials/attempt.js';
export {
  type CredentialFiles,
  credentialsFrom,
  type Login,
  listLogins,
  login,
  loginSchema,
  logout,
} from './credentials/index.js';
export {
  type Decoder,
  type DecoderName,
  type DecoderOptions,
  decoderFor,
  decoderNames,
} from './decode/index.js';
export { deliveriesOf } from './deliveries.js';
export { compileExpression, type Expression } from './expression/index.js';
export { fromLine, messageLineSchema, toLine } from './file/ndjson/line.js';
export { checkSignature, signatureHeaders } from './http/signature.js';
export {
  type Lag,
  lagSchema,
  listTopics,
  readLag,
  type Topics,
  topicsSchema,
} from './inspect.js';
export type { Delivery, Header, Message, OutgoingMessage, Sink, Source } from './message.js';
export { dedupeHeader, mqttHeaders } from './message.js';
export { connectBroker, disconnectBroker, hostAndPort } from './mqtt/connect.js';
export { brokerError } from './mqtt/errors.js';
export { mqttSettings } from './mqtt/settings.js';
export { encodePublish } from './mqtt/wire/publish.js';
export { openAdmin, openSink, openSource, requireScheme } from './open.js';
export type { StreamCredentials, StreamOptions } from './options.js';
export { findProgram } from './outbound/program.js';
export { retryAfterMs } from './outbound/retry.js';
export { payloadFrom } from './payload.js';
export * from './print/index.js';
export * from './publish/index.js';
export { createQueue, type Queue } from './queue.js';
export { type RecordOptions, record, recordedSchema } from './record/record.js';
export { openRedis, type RedisClient, type RedisCommand } from './redis/client.js';
export { type ReplayOptions, replay, replayedSchema } from './replay/replay.js';
export type { Part } from './route/flight.js';
export * from './route/index.js';
export { createOutlet, type Outlet } from './route/outlet.js';
export { type Bucket, openBucket } from './s3/bucket.js';
export { type FoundSecret, secretIn, shownUrl } from './secrets.js';
export { openSpool, type Spool, type SpoolState, spoolState } from './spool/index.js';
export * from './tail/index.js';
export { parseStreamUrl, type StreamUrl } from './url.js';
