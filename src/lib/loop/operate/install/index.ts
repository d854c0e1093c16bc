/** The service of systemd that runs a loop from the start of the machine. */
export { devicesFor } from './devices.js';
export { type InstalledLoop, type InstallLoopOptions, installedLoopSchema, installLoop } from './install.js';
export { loopUnit } from './unit.js';
