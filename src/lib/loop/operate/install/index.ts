/** The service of systemd that runs a loop from the start of the machine. */
export { type InstalledLoop, type InstallLoopOptions, installedLoopSchema, installLoop } from './install.js';
