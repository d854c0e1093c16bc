export { inParallel } from '../../core/index.js';
