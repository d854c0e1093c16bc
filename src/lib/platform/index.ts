/**
 * The server behind `aiot up`: HTTPS API, MQTT broker, durable journal, database and blobs, wired to the fleet's rules.
 * Decides no rule itself.
 */

export * from './backup/index.js';
export { type BrokerFiles, brokerFilesSchema, keepBrokerFiles } from './broker/external/files.js';
export { topicMatcher } from './broker/filter.js';
export {
  type InstalledPlatform,
  installedPlatformSchema,
  installPlatform,
  uninstalledPlatformSchema,
  uninstallPlatform,
} from './install/install.js';
export { compatibilities, type Engines, type Platform, type PlatformOptions } from './options.js';
export { startPlatform } from './start.js';
export type { Sync } from './sync.js';
export { upDetached } from './up/detach.js';
export { down, downResultSchema } from './up/down.js';
export { type UpPlatform, up } from './up/foreground.js';
export { type LogLine, logLineOf, logLineSchema, readLogs } from './up/logs.js';
export { platformFolder, type UpOptions, type UpResult, upResultSchema } from './up/options.js';
export { type Verified, type VerifyOptions, verifiedSchema, verifyPlatform } from './verify/verify.js';
