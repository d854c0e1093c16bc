/** deploy.yaml: what renderings differ by. */
export { loadValues, parseValues, partNames, valuesFile } from './load.js';
export { nothing, type Usual, type Values } from './resolve.js';
export { type Given, type ServiceValues, valuesSchema } from './schema.js';
