/** Labels for printing. */
export { deviceLabels, labelFormatOf } from './labels.js';
export { labelContent } from './layout.js';
export * from './types.js';
