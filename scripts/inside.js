/**
 * Development dependencies that are partly bundled with aiot. The checks of licenses, the bill of materials and the audit
 * (scripts/ci/supply.js) treat them as installed with aiot.
 */

/** Bundled into the dashboard's scripts by scripts/web.js. */
export const joined = ['preact', '@preact/signals', '@preact/signals-core', 'uplot', 'buffer'];

/** Dependencies that the dashboard's scripts contain too, by the name of their license file: those of esptool-js's build and of buffer. */
export const joinedParts = {
  'esptool-js': 'LICENSE',
  pako: 'LICENSE',
  'atob-lite': 'LICENSE.md',
  'base64-js': 'LICENSE',
  ieee754: 'LICENSE',
  // Of rehearsals.
  zod: 'LICENSE',
  // Of claims.
  qr: 'LICENSE',
};

/**
 * Copied to dist/vendor by scripts/vendor.js. `@litertjs/core` has four builds of a WebAssembly file; src/lib/runtime/litert.ts loads the
 * one that works on every version of Node. `@mediapipe/face_detection` has 12 MB of code in addition to the three networks that
 * src/lib/vision runs.
 */
export const vendored = {
  '@litertjs/core': ['wasm/litert_wasm_compat_internal.js', 'wasm/litert_wasm_compat_internal.wasm'],
  '@mediapipe/face_detection': [
    'face_detection_full_range.tflite',
    'face_detection_full_range_sparse.tflite',
    'face_detection_short_range.tflite',
  ],
};

export const inside = [...joined, ...Object.keys(vendored)];
