/** `stream bridge`: a route of one line, by hand or as a service. */
export { type BridgeOptions, bridgeRoute } from './bridge.js';
export { type Installed, type InstallOptions, installedSchema, installService } from './install.js';
