/** Templates of YAML that are filled as data. */

export { templateText } from './files.js';
export { fillTemplate, type Scope } from './fill.js';
