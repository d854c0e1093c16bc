export { refuseInputs, writeTogether } from '../../core/index.js';
