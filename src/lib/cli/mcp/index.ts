/** The commands as tools of the Model Context Protocol: what an agent may read, and what it has to have approved. */
export { approve, askedFor, lineOf } from './approvals.js';
export { classified, classOf } from './classes.js';
export { serveMcp } from './serve.js';
