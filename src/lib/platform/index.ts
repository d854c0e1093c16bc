/**
 * The server behind `aiot up`: HTTPS API, MQTT broker, durable journal, database and blobs, wired to the fleet's rules.
 * Decides no rule itself.
 */
export type { PlatformUrls } from './http/parts.js';
export type { Platform, PlatformOptions } from './options.js';
export { startPlatform } from './start.js';
export type { Sync } from './sync.js';
