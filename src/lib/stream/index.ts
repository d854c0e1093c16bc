/**
 * Messages in and out: the ports Source and Sink, and an adapter for each URL scheme. Operations on messages do not depend on the
 * adapter: following, selecting, decoding, recording, bridging, routing. Stores nothing about devices.
 */

export type { TopicSpec } from './broker/admin.js';
export { type Bench, benchSchema, benchStream, smallestBench } from './broker/bench.js';
export { type Checked, checkEndpoint, checkedSchema, tryCredentials } from './broker/check.js';
export { type Created, createdSchema, createTopics, parseCreateFile } from './broker/create.js';
export { type Lag, lagSchema, listTopics, readLag, type Topics, topicsSchema } from './broker/inspect.js';
export { pictureOf } from './camera/input.js';
export { type CheatSheet, cheatMarkdown, cheatSheets } from './cheat-sheets.js';
export {
  credentialsFrom,
  type Login,
  listLogins,
  login,
  loginSchema,
  logout,
  withKeptCredentials,
} from './credentials.js';
export { decoderFor } from './decode/decoder.js';
export { BoundedRegExp, comparedTexts, compileExpression, fieldPaths, parse } from './decode/expression.js';
export { truth } from './decode/expression-functions.js';
export { type Decoder, type DecoderName, type DecoderOptions, decoderNames } from './decode/values.js';
export { fromLine, messageLineSchema, toLine } from './file/line.js';
export { checkSignature, signatureHeaders } from './http/headers.js';
export {
  type Delivery,
  dedupeHeader,
  deliveriesOf,
  type Header,
  type Message,
  mqttHeaders,
  type OutgoingMessage,
  positionFrom,
  type Sink,
  type Source,
  type StreamCredentials,
  type StreamOptions,
} from './message.js';
export { brokerError, connectBroker, disconnectBroker, hostAndPort, mqttSettings } from './mqtt/connect.js';
export {
  createPublishReader,
  decodeProperties,
  encodeProperties,
  encodePublish,
  Frames,
  type MqttVersion,
  ProtocolError,
  type Published,
  packetType,
  qosOf,
  readText,
  varint,
  varintSize,
  writeAck,
  writeVarint,
} from './mqtt/packets.js';
export { connectNats, type NatsClient } from './nats/connect.js';
export { openAdmin, openSink, openSource, requireScheme } from './open.js';
export { publish, publishedManySchema, publishedSchema } from './publish/publish.js';
export { createQueue } from './queue.js';
export { openRedis, type RedisClient } from './redis/client.js';
export {
  type BridgeOptions,
  bridgeRoute,
  type Installed,
  installedSchema,
  installService,
} from './route/bridge.js';
export { type TestedRoutes, testedRoutesSchema, testRoutes } from './route/cases.js';
export {
  type ListedRoutes,
  listedRoutesSchema,
  listRoutes,
  loadRoutes,
  parseRoutes,
  routeOf,
} from './route/load.js';
export { type ImportedRoutes, importedRoutesSchema, importRoutes } from './route/node-red.js';
export { createOutlet, type Outlet } from './route/outlet.js';
export { processorNamed } from './route/processors.js';
export { runRoutes } from './route/run.js';
export { presetNames } from './route/schema.js';
export {
  type Part,
  type Processor,
  type Route,
  type RouteState,
  type RoutesEnd,
  type RunRoutesOptions,
  reasonOf,
  routesEndSchema,
  type StreamOpener,
  stateText,
} from './route/types.js';
export { runWatched } from './route/watch.js';
export { type Bucket, openBucket } from './s3/client.js';
export { connectEdgeNode } from './sparkplug/connection.js';
export { EdgeNode, type MetricValue } from './sparkplug/edge-node.js';
export { dataType, sparkplugCodec } from './sparkplug/payload.js';
export { openSpool, type Spool, spoolState } from './spool/spool.js';
export {
  missingSentences,
  missingTextSentences,
  type TailSummary,
  tailSummarySchema,
} from './tail/missing-fields.js';
export { type PrinterOptions, printerFor, printFormats } from './tail/print.js';
export { type RecordOptions, record, recordedSchema, replay, replayedSchema } from './tail/record.js';
export { createStatistics, type StreamStatistics, streamStatisticsSchema } from './tail/statistics.js';
export {
  bytesOf,
  fieldReader,
  type Shown,
  type TailEnd,
  type TailOutput,
  type TailProgress,
  tail,
} from './tail/tail.js';
export { compileTemplate } from './tail/template.js';
export { parseStreamUrl, queryBoolean, readQuery, type StreamUrl, secretIn, shownUrl } from './url.js';
