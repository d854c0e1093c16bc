/**
 * Bytes ↔ objects, pure: no file, no network, no clock. A damaged input is refused with the place and the reason.
 */
export * from './manifest/manifest.js';
export * from './tflite/index.js';
