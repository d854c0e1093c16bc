/**
 * The server behind `aiot up`: HTTPS API, MQTT broker, durable journal, database and blobs, wired to the fleet's rules.
 * Decides no rule itself.
 */
export type { PlatformUrls } from './http/parts.js';
export type { Platform, PlatformOptions } from './options.js';
export { startPlatform } from './start.js';
export type { Sync } from './sync.js';
export { upDetached } from './up/detach.js';
export { type DownOptions, type DownResult, down, downResultSchema } from './up/down.js';
export { type UpPlatform, up } from './up/foreground.js';
export { platformFolder, type UpOptions, type UpResult, upResultSchema } from './up/options.js';
