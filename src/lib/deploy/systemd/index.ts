/** Units of systemd. */
export { systemdTarget } from './target.js';
export { platformService } from './units.js';
