import type { Values } from '../values/index.js';

/** The platform has a broker of its own; without it, Mosquitto. */
export const alone = ({ platform, broker }: Values) => platform === false && broker !== false;
