/**
 * Stands in for the services of "The Architect's Guide to the AIoT" on its own ports, so that its firmware, pipelines and
 * scripts work unchanged. Nobody is authenticated there: what comes in is untrusted, and changes nothing else.
 */
export { type Guide, guidePorts, startGuide } from './start.js';
