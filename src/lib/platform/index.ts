/**
 * The server behind `aiot up`: HTTPS API, MQTT broker, durable journal, database and blobs, connected to the fleet's
 * rules. This module contains no rules.
 */

export { reachSelector } from './access/reach.js';
export {
  type Restored,
  restoreBackup,
  restoredSchema,
  saveBackup,
} from './backup/restore.js';
export { type BrokerFiles, brokerFilesSchema, keepBrokerFiles } from './broker/external-files.js';
export { topicMatcher } from './broker/topics.js';
export type { Compatibility, Platform } from './options.js';
export type { Restart } from './running.js';
export { startPlatform } from './start.js';
export { type DownResult, down, downResultSchema, upDetached } from './up/detached.js';
export {
  type InstalledPlatform,
  installedPlatformSchema,
  installPlatform,
  uninstalledPlatformSchema,
  uninstallPlatform,
} from './up/install.js';
export { type LogLine, logLineOf, logLineSchema, readLogs } from './up/logs.js';
export { platformFolder, restartOf, type UpOptions, type UpResult, upResultSchema } from './up/options.js';
export { type UpPlatform, up } from './up/up.js';
export { type Verified, verifiedSchema, verifyPlatform } from './verify/verify.js';
